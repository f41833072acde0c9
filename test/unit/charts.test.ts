// What a figure shows is drawn by a grammar that forgives everything: what a reader must be able to see in each is held to
// here.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ResultFigure } from '../../lib/experiment/results';
import { colourAt, colourScale, inkOn, luminanceOf } from '../../lib/report/charts/colours';
import { figureSpec, renderFigure } from '../../lib/report/charts/render';
import { drawable, textWidth, wrap } from '../../lib/report/charts/text';
import { AWKWARD, figures } from '../support/report-results';

const drawn = await Promise.all(figures.map(async (figure) => ({ figure, svg: await renderFigure(figure) })));

/** Checks that tags are closed in order and that nothing stands raw that XML escapes; gives the texts between them. */
function textsOf(svg: string): string[] {
  const open: string[] = [];
  const texts: string[] = [];
  let at = 0;
  for (const match of svg.matchAll(/<(\/?)([a-zA-Z]+)((?:\s+[\w:-]+="[^"<]*")*)\s*(\/?)>/g)) {
    const between = svg.slice(at, match.index);
    at = match.index + match[0].length;
    expect(between).not.toMatch(/[<>]|&(?!(?:amp|lt|gt|quot|apos|#\d+|#x[\da-f]+);)/i);
    if (between.trim() !== '') texts.push(plainText(between));
    if (match[1] === '/') expect(open.pop()).toBe(match[2]);
    else if (match[4] !== '/') open.push(match[2]!);
  }
  expect(open).toEqual([]);
  expect(svg.slice(at).trim()).toBe('');
  return texts;
}

const plainText = (text: string): string =>
  text.replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&quot;', '"').replaceAll('&amp;', '&');

function labelsOf(figure: ResultFigure): string[] {
  const axes = [figure.x, figure.y];
  switch (figure.kind) {
    case 'heatmap': {
      const values = figure.cells.flatMap(({ value }) => (value === null ? [] : [value.value.toFixed(1)]));
      return [...axes, ...figure.xOrder, ...figure.yOrder, ...values];
    }
    case 'curve':
      return [
        ...axes,
        ...figure.series.map(({ name }) => name),
        ...figure.series.flatMap(({ points }) => points.flatMap(({ xLabel }) => xLabel ?? [])),
      ];
    case 'pairs':
      return [...axes, ...figure.groups.flatMap(({ group, series }) => [group, series])];
    case 'scatter':
      return [...axes, figure.note!, ...figure.points.map(({ label }) => label)];
  }
}

describe('figures', () => {
  it('are well-formed and say every label, title and caption', () => {
    for (const { figure, svg } of drawn) {
      const texts = textsOf(svg);
      for (const label of labelsOf(figure)) expect(texts, figure.id).toContain(label);
      const all = texts.join(' ');
      for (const word of figure.title.split(' ')) expect(all).toContain(word);
      expect(all.includes('In the paper: Figure 1.')).toBe(figure.paper !== undefined);
    }
  });

  it('have a white ground and a generic face, and are equal bytes again', async () => {
    for (const { figure, svg } of drawn) {
      expect(svg).toMatch(/<rect width="\d+" height="\d+" fill="#ffffff"\/?>/);
      expect(svg).toContain('font-family="system-ui, sans-serif"');
      expect(svg).not.toMatch(/NaN|undefined|Infinity/);
      expect(await renderFigure(figure)).toBe(svg);
    }
  });

  it('say in at most three lines what they are: whole sentences, the brief form where there is one, the paper’s figure', () => {
    const subtitle = (change: object): string[] =>
      (figureSpec({ ...figures[0]!, ...change } as ResultFigure).title as { subtitle: string[] }).subtitle;
    const caption = Array.from({ length: 20 }, (_, at) => `Sentence ${at} of a caption that goes on.`).join(
      ' ',
    );
    const lines = subtitle({ caption });
    expect(lines).toHaveLength(3);
    expect(lines[1]).toMatch(/on\.$/);
    expect(lines[2]).toBe('In the paper: Figure 1.');
    expect(subtitle({ caption, brief: 'Short.', cells: [] })).toEqual(['Short.', 'In the paper: Figure 1.']);
    expect(subtitle({ caption: 'Short.' })[0]).toBe('Short. Grey: not to be relied upon.');
  });

  it('have hollow marks for what is not to be relied upon', async () => {
    const [, curve, , pairs] = figures;
    if (curve?.kind !== 'curve' || pairs?.kind !== 'pairs') throw new Error('fixtures');
    const doubtful: ResultFigure[] = [
      {
        ...curve,
        series: curve.series.map((series, at) => ({
          ...series,
          points: series.points.map((point) => (at === 0 ? { ...point, grey: true } : point)),
        })),
      },
      { ...pairs, groups: pairs.groups.map((group, at) => (at === 1 ? { ...group, grey: true } : group)) },
    ];
    const whites = (svg: string): number => svg.match(/<path[^>]*fill="#ffffff"/g)?.length ?? 0;
    const [before, after] = await Promise.all(
      [[curve, pairs], doubtful].map((all) => Promise.all(all.map(renderFigure))),
    );
    expect(before!.map(whites)).toEqual([0, 0]);
    expect(after!.map(whites)).toEqual([4, 1]);
    for (const svg of after!) expect(textsOf(svg).join(' ')).toContain('Hollow: not to be relied upon.');
  });

  it('leave the diagonal of a heat map blank and its grey cells without a colour of the scale', () => {
    const spec = figureSpec(figures[0]!) as unknown as {
      data: { values: { x: string; y: string; color?: number }[] };
    };
    const { values } = spec.data;
    expect(values.length).toBe(12);
    expect(values.some(({ x, y }) => x === y)).toBe(false);
    expect(values.filter((cell) => !('color' in cell))).toEqual([
      { x: 'ar', y: 'zh', text: '49.0', grey: true, ink: '#000000' },
    ]);
  });

  it('colour by the values where the analysis names no colour', () => {
    const cells = [
      { x: 'a', y: 'a', value: { value: 1, n: 1 } },
      { x: 'b', y: 'a', value: { value: 3, n: 1 } },
    ];
    const spec = figureSpec({ ...(figures[0] as object), cells, colorMiddle: undefined } as never);
    expect(JSON.stringify(spec)).toContain('"domain":[1,1.4,1.8,2.2,2.6,3]');
  });

  it('survive the smallest of everything', async () => {
    const { paper: _, ...common } = figures[0]!;
    const empty: ResultFigure[] = [
      { ...common, kind: 'heatmap', cells: [], xOrder: [], yOrder: [] },
      { ...common, kind: 'curve', series: [] },
      {
        ...common,
        kind: 'curve',
        xIsOrdinal: true,
        series: [{ name: 'a', points: [{ x: 1, y: { value: 1, n: 1 } }] }],
      },
      { ...common, kind: 'pairs', groups: [] },
      { ...common, kind: 'scatter', points: [] },
    ];
    for (const figure of empty) textsOf(await renderFigure(figure));
  });

  it('take any text as a label, also what XML has no place for', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(fc.string({ unit: 'binary', minLength: 1 }), fc.constantFrom('constructor', '__proto__')),
        async (label) => {
          const svg = await renderFigure({
            kind: 'scatter',
            id: 'any',
            title: label,
            caption: label,
            x: label,
            y: label,
            points: [{ label, x: 1, y: { value: 1, n: 1 } }],
          });
          textsOf(svg);
          expect(svg).not.toMatch(/[\u0000-\u0008\u000b\u000c\u000e-\u001f]/);
        },
      ),
      { numRuns: 20 },
    );
  });

  it('put labels of scattered points beside each other', () => {
    const points = Array.from({ length: 6 }, (_, at) => ({
      label: `language ${at}`,
      x: at % 2,
      y: { value: Math.floor(at / 2) / 100, n: 1 },
    }));
    const spec = figureSpec({ ...(figures[4] as object), points } as never);
    const { values } = (spec as unknown as { data: { values: { dx: number; dy: number }[] } }).data;
    expect(new Set(values.map(({ dx, dy }) => `${dx} ${dy}`)).size).toBeGreaterThan(1);
  });

  it('are drawn by a specification that Vega-Lite takes without a word', async () => {
    const { compile } = await import('vega-lite');
    const said: unknown[] = [];
    const say = (...words: unknown[]) => said.push(words);
    const logger = { level: () => logger, error: say, warn: say, info: say, debug: say };
    for (const { figure } of drawn) compile(figureSpec(figure), { logger: logger as never });
    expect(said).toEqual([]);
  });
});

describe('colours', () => {
  it('give ink of enough contrast everywhere on both scales', () => {
    for (const middle of [undefined, 0]) {
      const scale = colourScale([-1, 1], middle);
      for (let value = -1; value <= 1; value += 0.01) {
        const colour = colourAt(scale, value);
        const ink = inkOn(colour) === '#000000' ? 0 : 1;
        const [light, dark] = [ink, luminanceOf(colour)].sort((a, b) => b - a) as [number, number];
        expect((light + 0.05) / (dark + 0.05)).toBeGreaterThan(4.5);
      }
    }
  });

  it('reach as far to both sides of the middle, and take a single value', () => {
    expect(colourScale([49, 60], 50).domain.at(0)).toBeCloseTo(40);
    expect(colourScale([49, 60], 50).domain.at(-1)).toBeCloseTo(60);
    expect(colourScale([7]).domain.at(0)).toBe(6.5);
    expect(colourScale([], 50).domain.every(Number.isFinite)).toBe(true);
  });
});

describe('words', () => {
  it('are broken at blanks and cleaned of what XML forbids', () => {
    expect(wrap('aa bb cc', textWidth('aa bb', 10) + 0.1, 10)).toEqual(['aa bb', 'cc']);
    expect(wrap('', 10, 10)).toEqual([]);
    expect(drawable('a\u0000b\tc\ud800')).toBe('a\ufffdb c\ufffd');
    expect(drawable(AWKWARD)).toBe(AWKWARD);
    expect(textWidth('中', 10)).toBe(10);
    expect(drawable('toString')).toBe('toString\u2060');
  });
});

it('draws no band over a point whose interval is not known', () => {
  const curve = figures.find((figure) => figure.kind === 'curve')!;
  const at = (x: number, known: boolean) => ({
    x,
    y: { value: x, n: 9, ...(known && { low: x - 1, high: x + 1 }) },
  });
  const points = [at(0, true), at(1, true), at(2, false), at(3, true)];
  const spec = figureSpec({ ...curve, series: [{ name: 'one', points }] }) as unknown as {
    data: { values: { low?: number; band?: number; alone?: boolean }[] };
  };
  const bands = spec.data.values.filter(({ low }) => low !== undefined);
  expect(bands.map(({ band, alone }) => [band, alone])).toEqual([
    [0, false],
    [0, false],
    [1, true],
  ]);
});
