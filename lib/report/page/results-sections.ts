// What programs computed, as parts of the report's page: tables that a screen reader can walk, figures with their numbers in words.
import type { ExperimentResults, ResultFigure, ResultTable } from '../../experiment/results';
import { type Html, html } from '../../page/html';
import { correspondence, greyNote } from '../charts/frame';
import { type CellParts, cellText, GREY_MARK, layoutTable } from '../layout';
import { formatNumber } from '../numbers';
import { inlineMarkdown } from './markdown-html';

/** One table; a cell that is not to be relied upon is hatched, marked and said to be. */
export function tableSection(table: ResultTable): Html {
  const { headers, rows, notes, isNumber } = layoutTable(table);
  const title = `table-${table.id}`;
  const caption = [table.caption.trim(), ...notes].filter((text) => text !== '').join(' ');
  return html`<div class="result">
<h3 id="${title}">${table.title}</h3>
<p class="caption" id="${title}-about">${inlineMarkdown(caption)}</p>
<div class="scroll" tabindex="0" role="region" aria-labelledby="${title}">
<table aria-labelledby="${title}" aria-describedby="${title}-about">
<thead><tr>${headers.map((header, at) => html`<th scope="col"${isNumber(at) ? CLASS_NUMBER : ''}>${header}</th>`)}</tr></thead>
<tbody>
${rows.map(
  (row) =>
    html`<tr>${row.map((cell, at) => (at === 0 && !isNumber(0) ? html`<th scope="row">${cellText(cell)}</th>` : tableCell(cell)))}</tr>\n`,
)}</tbody>
</table>
</div>
</div>
`;
}

const CLASS_NUMBER = html` class="number"`;

function tableCell(cell: CellParts): Html {
  if (cell.kind === 'nothing') return html`<td class="nothing">${cellText(cell)}</td>`;
  if (cell.kind === 'text') return html`<td>${cell.text}</td>`;
  const { value, interval, n, seeds, grey } = cell;
  const beside = [interval, n && `${n}`, seeds && `seeds ${seeds.join(', ')}`].filter(
    (text) => text !== undefined,
  );
  return html`<td class="${grey ? 'number grey' : 'number'}">${value}${
    grey &&
    html`<span aria-hidden="true">${GREY_MARK}</span><span class="unseen"> not to be relied upon</span>`
  }${beside.length > 0 && html` <span class="beside">${beside.join('; ')}</span>`}</td>`;
}

/** One figure: its picture, in words what the picture shows, and every number of it with its interval. */
export function figureSection(figure: ResultFigure, svg: string): Html {
  const title = `figure-${figure.id}`;
  const words = `${figure.caption.trim()} ${greyNote(figure)}`.trim();
  const { header, rows } = figureNumbers(figure);
  const picture = `data:image/svg+xml;base64,${Buffer.from(svg).toString('base64')}`;
  return html`<div class="result">
<h3 id="${title}">${figure.title}</h3>
<figure>
<div class="picture scroll" tabindex="0" role="region" aria-labelledby="${title}"><img src="${picture}" alt="${figure.title}: ${figure.y} by ${figure.x}. The numbers follow as a table."></div>
<figcaption>${inlineMarkdown(words)} ${figure.paper !== undefined && correspondence(figure.paper)}</figcaption>
</figure>
<details><summary>Numbers of this figure</summary>
<div class="scroll" tabindex="0" role="region" aria-label="Numbers of the figure ${figure.title}">
<table>
<thead><tr>${header.map((text) => html`<th scope="col">${text}</th>`)}</tr></thead>
<tbody>
${rows.map(([first, ...others]) => html`<tr><th scope="row">${first}</th>${others.map((text) => html`<td>${text}</td>`)}</tr>\n`)}</tbody>
</table>
</div>
</details>
</div>
`;
}

type Point = { value: number; low?: number; high?: number; n: number };

function figureNumbers(figure: ResultFigure): { header: string[]; rows: string[][] } {
  const { x, y, digits } = figure;
  const words = (value: Point | null, grey: boolean | undefined): string[] => {
    if (value === null) return ['n/a', '', ''];
    const { low, high, n } = value;
    const interval =
      low === undefined || high === undefined
        ? ''
        : `${formatNumber(low, digits)} to ${formatNumber(high, digits)}`;
    return [
      `${formatNumber(value.value, digits)}${grey ? `${GREY_MARK} not to be relied upon` : ''}`,
      interval,
      String(n),
    ];
  };
  const ends = ['interval of 95 %', 'n'];
  switch (figure.kind) {
    case 'heatmap':
      return {
        header: [y, x, 'value', ...ends],
        rows: figure.cells.map(({ x: column, y: row, value, grey }) => [row, column, ...words(value, grey)]),
      };
    case 'curve':
      return {
        header: ['curve', x, y, ...ends],
        rows: figure.series.flatMap(({ name, points }) =>
          points.map((point) => [name, point.xLabel ?? formatNumber(point.x), ...words(point.y, point.grey)]),
        ),
      };
    case 'pairs':
      return {
        header: [x, 'mark', y, ...ends],
        rows: figure.groups.map(({ group, series, value, grey }) => [group, series, ...words(value, grey)]),
      };
    case 'scatter':
      return {
        header: ['point', x, y, ...ends],
        rows: figure.points.map((point) => [
          point.label,
          formatNumber(point.x, digits),
          ...words(point.y, false),
        ]),
      };
  }
}

/** What was run, in a table of two columns. */
export function setUpSection({ protocol, provenance }: ExperimentResults): Html {
  const options = (values: Readonly<Record<string, unknown>>): string =>
    Object.entries(values)
      .filter(([, value]) => value !== undefined)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, value]) => `${key} ${typeof value === 'string' ? value : JSON.stringify(value)}`)
      .join(', ');
  const rows = [
    ['protocol', protocol],
    ['model', provenance.model],
    ['seeds', provenance.seeds.join(', ')],
    ['training', options(provenance.train)],
    ['sampling', options(provenance.sample)],
    ['mlit-native', provenance.version],
    ['machine', provenance.machine || NOT_RECORDED],
  ];
  return html`<section id="set-up" aria-labelledby="set-up-title">
<h2 id="set-up-title">Set-up</h2>
<div class="scroll" tabindex="0" role="region" aria-labelledby="set-up-title"><table>
<tbody>${rows.map(([what, text]) => html`<tr><th scope="row">${what}</th><td>${text}</td></tr>\n`)}</tbody>
</table></div>
</section>
`;
}

/** What a store has not recorded is said to be missing, not shown as nothing. */
const NOT_RECORDED = 'not recorded';

/** From which data, by which jobs, with which hashes. */
export function provenanceSection({ provenance }: Pick<ExperimentResults, 'provenance'>): Html {
  const hash = (text: string): Html => (text === '' ? html`${NOT_RECORDED}` : html`<code>${text}</code>`);
  const files = [
    { what: 'model', file: provenance.model, sha256: provenance.modelSha256 },
    ...provenance.data.map((file) => ({ what: 'data', ...file })),
    ...provenance.eval.map((file) => ({ what: 'evaluation', ...file })),
  ];
  const jobs = Object.entries(provenance.jobs).flatMap(([arm, seeds]) =>
    Object.entries(seeds).map(([seed, hashes]) => ({ arm, seed, hashes })),
  );
  return html`<section id="provenance" aria-labelledby="provenance-title">
<h2 id="provenance-title">Provenance</h2>
<p>Equal hashes are equal inputs: jobs are named by everything that goes into them.</p>
<div class="scroll" tabindex="0" role="region" aria-label="Files and their hashes"><table>
<thead><tr><th scope="col">file</th><th scope="col">what</th><th scope="col">SHA-256</th></tr></thead>
<tbody>${files.map(({ what, file, sha256 }) => html`<tr><th scope="row">${file}</th><td>${what}</td><td>${hash(sha256)}</td></tr>\n`)}</tbody>
</table></div>
${
  jobs.length > 0 &&
  html`<div class="scroll" tabindex="0" role="region" aria-label="Models and their jobs"><table>
<thead><tr><th scope="col">arm</th><th scope="col">seed</th><th scope="col">jobs</th></tr></thead>
<tbody>${jobs.map(
    ({ arm, seed, hashes }) =>
      html`<tr><th scope="row">${arm}</th><td>${seed}</td><td>${Object.entries(hashes).map(([kind, name]) => html`${kind} <code>${name}</code> `)}</td></tr>\n`,
  )}</tbody>
</table></div>`
}
</section>
`;
}

/** What these parts need beside the theme. */
export const resultsCss = `
.result { margin-block: 1.5rem 2.5rem; }
figure { margin: 0; }
.picture { background: #ffffff; border: 1px solid var(--line); border-radius: var(--round); }
.picture img { display: block; max-inline-size: none; }
figcaption, .caption { color: var(--quiet); margin-block: 0.5rem; max-inline-size: 75ch; }
.number { text-align: end; white-space: nowrap; }
.beside { color: var(--quiet); font-size: 0.85em; }
.nothing { color: var(--quiet); text-align: end; }
.grey { font-style: italic; color: var(--quiet); background: repeating-linear-gradient(135deg, transparent 0 6px, var(--panel) 6px 12px); }
tbody th { font-weight: 600; }
@media print { .picture img { max-inline-size: 100%; block-size: auto; } }
`;
