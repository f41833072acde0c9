// Tables and figures of an experiment, made from models with differences that were planted: what is said has to be what is
// there.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { MeasureSummary } from '../../lib/eval/measures/types';
import { analyse } from '../../lib/experiment/analysis';
import { pointsOf } from '../../lib/experiment/analysis/scores';
import { Study } from '../../lib/experiment/analysis/study';
import { PAPER_LANGUAGES } from '../../lib/experiment/protocols';
import type { ExperimentResults, ResultCell, ResultFigure, ResultTable } from '../../lib/experiment/results';
import type { ExperimentSpec } from '../../lib/experiment/spec';
import type { ItemResult, ModelResult } from '../../lib/experiment/types';
import { provenanceOf, simulatedSpec, simulateModels } from '../support/simulated-models';

const FAST = { resamples: 400 };

function analysed(
  spec: ExperimentSpec,
  models: readonly ModelResult[],
  summaries: readonly MeasureSummary[] = [],
): ExperimentResults {
  return analyse(spec, models, provenanceOf(spec), summaries, FAST);
}

function table(results: ExperimentResults, id: string): ResultTable {
  const found = results.tables.find((one) => one.id === id);
  if (found === undefined)
    throw new Error(`no ${id} among ${results.tables.map((one) => one.id).join(', ')}`);
  return found;
}

function cell(results: ExperimentResults, id: string, arm: string, column: string): ResultCell {
  return table(results, id).rows.find((row) => row.arm === arm)?.[column] ?? null;
}

function number(of: ResultCell): Exclude<ResultCell, string | null> {
  if (of === null || typeof of === 'string') throw new Error(`expected a number, got ${of}`);
  return of;
}

function figure<K extends ResultFigure['kind']>(
  results: ExperimentResults,
  id: string,
  kind: K,
): Extract<ResultFigure, { kind: K }> {
  const found = results.figures.find((one) => one.id === id);
  if (found?.kind !== kind)
    throw new Error(`no ${kind} ${id} among ${results.figures.map((one) => one.id).join(', ')}`);
  return found as Extract<ResultFigure, { kind: K }>;
}

const custom = (input = {}) =>
  simulatedSpec({
    examples: 100,
    arms: { english: 'mono:language=en', even: 'uniform:languages=en+fi' },
    ...input,
  });

describe('shared tables', () => {
  it('find a planted difference, with an interval that holds it', () => {
    const spec = custom();
    const models = simulateModels(spec, ({ id }, lang) => ({
      nats: id === 'even' && lang === 'fi' ? 1.2 : 1.5,
      match: id === 'even' ? 0.9 : lang === 'en' ? 0.9 : 0.1,
      chrf: 50,
    }));
    const results = analysed(spec, models);
    const fi = number(cell(results, 'likelihood-differences', 'even', 'fi'));
    expect(fi.low).toBeLessThan(-0.3);
    expect(fi.high).toBeGreaterThan(-0.3);
    expect(fi.high).toBeLessThan(-0.2);
    const en = number(cell(results, 'likelihood-differences', 'even', 'en'));
    expect(en.low).toBeLessThan(0);
    expect(en.high).toBeGreaterThan(0);
    expect(number(cell(results, 'language-match-differences', 'even', 'fi')).low).toBeGreaterThan(40);
    expect(fi.n).toBe(60);
  });

  it('cover the truth in about 95 of 100 draws', () => {
    const spec = custom({
      base: false,
      against: 'none',
      arms: { a: 'mono:language=en', b: 'mono:language=fi' },
    });
    let covered = 0;
    const draws = 150;
    for (let draw = 0; draw < draws; draw += 1) {
      const models = simulateModels(
        spec,
        ({ id }) => ({ nats: id === 'b' ? 1.4 : 1.5, match: 0.5, chrf: 50 }),
        { items: 40, draw },
      );
      const study = new Study(spec, models, { resamples: 400 });
      const { low, high } = study.measure('natsPerByte').meanDifference('b', 'a', ['en', 'fi'])!;
      if (low! <= -0.1 && -0.1 <= high!) covered += 1;
    }
    expect(covered / draws).toBeGreaterThan(0.9);
    expect(covered / draws).toBeLessThan(0.99);
  });

  it('keep items together over languages: a mean of two equal languages is no narrower than one of them', () => {
    const spec = custom({ base: false, against: 'none' });
    const models = simulateModels(spec, () => ({ nats: 1, match: 0.5, chrf: 50 }));
    for (const model of models) {
      const english = model.items.filter(({ lang }) => lang === 'en');
      const copies = english.map((item) => ({ ...item, lang: 'fi' }));
      (model as { items: readonly ItemResult[] }).items = [...english, ...copies];
    }
    const cells = new Study(spec, models, FAST).measure('natsPerByte');
    expect(cells.mean('even', ['en', 'fi'])).toEqual(cells.value('even', 'en'));
  });

  it('give a share of none or all an interval that is not a point', () => {
    const spec = custom();
    const models = simulateModels(spec, ({ id }) => ({ nats: 1, match: id === 'even' ? 1 : 0, chrf: 50 }));
    const results = analysed(spec, models);
    const none = number(cell(results, 'language-match', 'english', 'fi'));
    expect(none).toMatchObject({ value: 0, low: 0, n: 60 });
    expect(none.high).toBeGreaterThan(4);
    const difference = number(cell(results, 'language-match-differences', 'even', 'fi'));
    expect(difference.value).toBe(100);
    expect(difference.low).toBeLessThan(96);
    expect(difference.high).toBe(100);
  });

  it('count what is not known of a share of none in its difference to another', () => {
    const spec = custom();
    const models = simulateModels(spec, ({ id }) => ({ nats: 1, match: id === 'even' ? 0.7 : 0, chrf: 50 }));
    const results = analysed(spec, models);
    const own = number(cell(results, 'language-match', 'even', 'fi'));
    const difference = number(cell(results, 'language-match-differences', 'even', 'fi'));
    expect(difference.value).toBeCloseTo(own.value, 10);
    expect(difference.low!).toBeLessThan(own.low!);
    expect(difference.high!).toBeCloseTo(own.high!, 10);
  });

  it('give no interval to one item', () => {
    const spec = custom();
    const models = simulateModels(spec, () => ({ nats: 1, match: 1, chrf: 50 }), { items: 1 });
    const results = analysed(spec, models);
    for (const { rows } of results.tables) {
      for (const row of rows)
        for (const one of Object.values(row))
          if (typeof one === 'object' && one !== null && one.n < 2) expect(one).not.toHaveProperty('low');
    }
    expect(number(cell(results, 'likelihood', 'even', 'fi')).n).toBe(1);
  });

  it('average over seeds, list each, and count the base once', () => {
    const spec = custom({ seeds: 3 });
    const models = simulateModels(spec, () => ({ nats: 1, match: 0.5, chrf: 50 }));
    const results = analysed(spec, models);
    const value = number(cell(results, 'likelihood', 'even', 'fi'));
    expect(value.seeds).toHaveLength(3);
    expect(value.seeds!.reduce((sum, one) => sum + one, 0) / 3).toBeCloseTo(value.value, 10);
    expect(number(cell(results, 'likelihood', 'untuned', 'fi'))).not.toHaveProperty('seeds');
    const toBase = new Study(spec, models, FAST).measure('natsPerByte').difference('even', 'base', 'fi');
    expect(toBase?.seeds).toHaveLength(3);
    expect(table(results, 'likelihood').caption).toContain('3 are too few');
    expect(results.warnings.join(' ')).not.toContain('One seed');
  });

  it('count languages of prompts and answers, seeds together and the base once', () => {
    const spec = custom({ seeds: 2 });
    const models = simulateModels(spec, () => ({ nats: 1, match: 0.5, chrf: 50 })).map((model) => ({
      ...model,
      items: model.items.map((item, at) => ({
        ...item,
        ...(at === 0 && { answerLang: 'de' }),
        measures: { ...item.measures, ...(at < 30 && { lineLanguagePass: 1 }) },
      })),
    }));
    const results = analysed(spec, models);
    const { columns, rows, caption } = table(results, 'language-confusion');
    const languages = columns.map(({ key }) => key).filter((key) => key.startsWith('in-'));
    expect(languages.slice(-2)).toEqual(['in-de', 'in-undecided']);
    for (const row of rows) {
      const counts = languages.map((key) => Number(row[key]));
      expect(counts.reduce((sum, count) => sum + count)).toBe(Number(row.answers));
      expect(row.answers).toBe(row.arm === 'untuned' ? '60' : '120');
    }
    const first = rows.find(({ arm, prompt }) => arm === 'even' && prompt === rows[0]!.prompt)!;
    expect(first['in-de']).toBe('2');
    expect(number(first.lineLanguagePass!)).toMatchObject({ value: 100, n: 30 });
    expect(caption).toContain('pooled over seeds');
  });

  it('leave out what no model has', () => {
    const spec = custom();
    const models = simulateModels(spec, () => ({ nats: 1, match: 0.5, chrf: 50 })).map((model) => ({
      ...model,
      items: model.items.map(({ measures: { languageMatch, languageUndecided }, ...item }) => ({
        ...item,
        measures: { languageMatch: languageMatch!, languageUndecided: languageUndecided! },
      })),
    }));
    const results = analysed(spec, models);
    expect(results.tables.map(({ id }) => id)).toEqual([
      'summary',
      'groups-language-match',
      'groups-language-match-differences',
      'language-match',
      'language-match-differences',
      'language-match-against-monolingual',
      'language-undecided',
      'language-confusion',
    ]);
    expect(results.figures.map(({ id }) => id)).toEqual(['arms-language-match']);
  });
});

describe('scores', () => {
  const item = (chrf: number, languageMatch?: number): ItemResult => ({
    item: 'i',
    lang: 'fi',
    measures: { chrf, ...(languageMatch !== undefined && { languageMatch }) },
  });

  it('follow the tie rules and the gate', () => {
    const kind = { judge: 'chrf', gated: false } as const;
    expect(pointsOf(item(60), item(50), kind)).toBe(100);
    expect(pointsOf(item(54), item(50), kind)).toBe(50);
    expect(pointsOf(item(19), item(2), kind)).toBe(50);
    expect(pointsOf(item(10), item(40), kind)).toBe(0);
    const gated = { ...kind, gated: true };
    expect(pointsOf(item(60, 0), item(50, 1), gated)).toBe(0);
    expect(pointsOf(item(60, 0), item(50, 0), gated)).toBe(50);
    expect(pointsOf(item(60, 0), item(50), gated)).toBe(100);
    const mute: ItemResult = { item: 'i', lang: 'fi', measures: { languageMatch: 0 } };
    expect(pointsOf(mute, item(50, 1), gated)).toBeUndefined();
  });

  it('sum to 100 with sides exchanged', () => {
    const result = fc.record({
      chrf: fc.double({ min: 0, max: 100, noNaN: true }),
      match: fc.constantFrom(0, 1, undefined),
    });
    fc.assert(
      fc.property(result, result, fc.boolean(), (a, b, gated) => {
        const kind = { judge: 'chrf', gated } as const;
        const [x, y] = [item(a.chrf, a.match), item(b.chrf, b.match)];
        expect(pointsOf(x, y, kind)! + pointsOf(y, x, kind)!).toBe(100);
      }),
    );
  });

  it('are 50, and differences 0, where the arms are the same', () => {
    const spec = custom({
      against: 'hub',
      arms: { english: 'mono:language=en', even: 'uniform:languages=en+fi' },
    });
    const models = simulateModels(spec, () => ({ nats: 1, match: 0.5, chrf: 50 }));
    const english = models.find(({ arm }) => arm.id === 'english')!;
    const same = models.map((model) => ({ ...model, items: english.items }));
    const results = analysed(spec, same);
    for (const id of ['score-against-hub-chrf', 'score-against-hub-chrf-gated', 'score-against-hub-rouge-l'])
      expect(cell(results, id, 'even', 'mean')).toEqual({ value: 50, low: 50, high: 50, n: 60 });
    expect(cell(results, 'likelihood-differences', 'even', 'fi')).toEqual({
      value: 0,
      low: 0,
      high: 0,
      n: 60,
    });
    expect(table(results, 'score-against-hub-chrf').title).toBe('S against English, by chrF');
    expect(cell(results, 'score-against-hub-chrf', 'even', 'better')).toBe('0 of 2');
  });

  it('are IF against monolingual models, none of a model against itself', () => {
    const spec = simulatedSpec({ protocol: 'monolingual', languages: ['en', 'fi', 'ru'], examples: 100 });
    const models = simulateModels(spec, ({ at }, lang) => ({
      nats: 1,
      match: 1,
      chrf: at.language === lang ? 70 : at.language === 'en' ? 60 : 40,
    }));
    const results = analysed(spec, models);
    expect(cell(results, 'score-if-chrf', 'Finnish only', 'fi')).toBeNull();
    expect(number(cell(results, 'score-if-chrf', 'English only', 'fi')).value).toBeLessThan(40);
    expect(number(cell(results, 'score-if-chrf', 'English only', 'mean')).value).toBeGreaterThan(
      number(cell(results, 'score-if-chrf', 'Russian only', 'mean')).value,
    );
    expect(cell(results, 'score-if-chrf', 'English only', 'worse')).toBe('2 of 2');
    expect(results.tables.slice(0, 4).map(({ id }) => id)).toEqual([
      'summary',
      'score-if-chrf-gated',
      'likelihood',
      'language-match',
    ]);
    const map = figure(results, 'heatmap-score-if-chrf-gated', 'heatmap');
    expect(map.cells.filter(({ value }) => value === null)).toHaveLength(3);
    expect(map.cells).toHaveLength(9);
    for (const lang of map.xOrder) {
      const colors = map.cells.filter(({ x, color }) => x === lang && typeof color === 'number');
      expect(colors.reduce((sum, { color }) => sum + color!, 0)).toBeCloseTo(0, 8);
    }
    const likelihood = figure(results, 'heatmap-likelihood', 'heatmap');
    expect(likelihood.cells.every(({ value }) => value !== null)).toBe(true);
    expect(likelihood.paper).toContain('E1');
  });

  it('are called S against English where a monolingual model is missing', () => {
    const spec = simulatedSpec({ protocol: 'monolingual', languages: ['en', 'fi', 'ru'], examples: 100 });
    const models = simulateModels(spec, () => ({ nats: 1, match: 1, chrf: 50 })).filter(
      ({ arm }) => arm.id !== 'mono-ru',
    );
    const results = analysed(spec, models);
    expect(table(results, 'score-against-hub-chrf').title).toBe('S against English, by chrF');
    expect(table(results, 'score-if-chrf').columns.map(({ key }) => key)).not.toContain('ru');
    expect(results.warnings.join(' ')).toMatch(/tuned on ru alone: IF is not given there/);
  });

  it('are grey where most pairs tie for want of any answer near the reference', () => {
    const spec = custom({ against: 'hub' });
    const models = simulateModels(spec, () => ({ nats: 1, match: 1, chrf: 5 }), { noise: 0.2 });
    const results = analysed(spec, models);
    expect(number(cell(results, 'score-against-hub-chrf', 'even', 'fi'))).toMatchObject({
      value: 50,
      grey: true,
    });
    expect(number(cell(results, 'summary', 'even', 'score')).grey).toBe(true);
    expect(results.warnings.join(' ')).toMatch(/S against English, by chrF: in 4 of 4 cells over 80 %/);
  });
});

describe('differences to the monolingual models', () => {
  const spec = simulatedSpec({
    protocol: 'monolingual',
    languages: ['en', 'fi', 'ru'],
    examples: 100,
    seeds: 2,
  });
  const models = simulateModels(spec, ({ at }, lang) => ({
    nats: at.language === lang ? 2 : at.language === 'en' ? 2.5 : 3,
    match: at.language === lang ? 1 : at.language === 'en' ? 0.5 : 0,
    chrf: 50,
  }));

  it('are to the model of the prompt’s own language, each language by its own', () => {
    const results = analysed(spec, models);
    const id = 'likelihood-against-monolingual';
    expect(cell(results, id, 'Finnish only', 'fi')).toBeNull();
    const fi = number(cell(results, id, 'English only', 'fi'));
    expect(fi.value).toBeCloseTo(0.5, 1);
    expect(fi.low! <= 0.5 && fi.high! >= 0.5).toBe(true);
    expect(fi.seeds).toHaveLength(2);
    expect(number(cell(results, id, 'English only', 'mean')).value).toBeCloseTo(0.5, 1);
    expect(number(cell(results, id, 'Russian only', 'mean')).value).toBeCloseTo(1, 1);
    // More nats are worse, a larger share is better.
    expect(cell(results, id, 'Russian only', 'worse')).toBe('2 of 2');
    expect(cell(results, id, 'Russian only', 'better')).toBe('0 of 2');
    expect(cell(results, 'language-match-against-monolingual', 'Russian only', 'worse')).toBe('2 of 2');
    const mean = number(cell(results, 'language-match-against-monolingual', 'English only', 'mean'));
    expect(mean.value).toBeGreaterThan(-65);
    expect(mean.value).toBeLessThan(-35);
  });

  it('are grey as a mean where the arm lacks a language that others have', () => {
    const results = analysed(
      spec,
      models.map((model) =>
        model.arm.id === 'mono-en'
          ? { ...model, items: model.items.filter(({ lang }) => lang !== 'fi') }
          : model,
      ),
    );
    const id = 'likelihood-against-monolingual';
    expect(cell(results, id, 'English only', 'fi')).toBeNull();
    expect(cell(results, id, 'English only', 'mean')).toMatchObject({ grey: true });
    expect(cell(results, id, 'Russian only', 'mean')).not.toHaveProperty('grey');
  });

  it('leave a language out of which no such model is finished', () => {
    const results = analysed(
      spec,
      models.filter(({ arm }) => arm.id !== 'mono-ru'),
    );
    const { columns } = table(results, 'likelihood-against-monolingual');
    expect(columns.map(({ key }) => key)).toEqual(['arm', 'en', 'fi', 'mean', 'better', 'worse']);
    const hubOnly = analysed(
      spec,
      models.filter(({ arm }) => arm.id === 'mono-en'),
    );
    expect(hubOnly.tables.map(({ id }) => id)).not.toContain('likelihood-against-monolingual');
  });
});

it('draws the label accuracy where records have labels', () => {
  const spec = custom();
  const models = simulateModels(spec, () => ({ nats: 1, match: 1, chrf: 50 })).map((model) => ({
    ...model,
    items: model.items.map((item, at) => ({
      ...item,
      measures: { ...item.measures, labelCorrect: model.arm.id === 'even' || at % 4 === 0 ? 1 : 0 },
    })),
  }));
  const results = analysed(spec, models);
  expect(number(cell(results, 'summary', 'english', 'labelCorrect')).value).toBeCloseTo(25, 0);
  expect(number(cell(results, 'label-accuracy-differences', 'even', 'fi')).value).toBeCloseTo(75, 0);
  expect(results.figures.map(({ id }) => id)).toContain('arms-label-accuracy');
});

describe('pinch', () => {
  const spec = simulatedSpec({
    protocol: 'pinch',
    examples: 100,
    languages: ['en', 'fi', 'ru'],
    evalLanguages: ['en', 'fi', 'ru', 'et'],
    ticks: [0, 'count:10', 50, 100],
    against: 'hub',
  });
  const models = simulateModels(spec, ({ at }, lang) => {
    const percent = typeof at.percent === 'number' ? at.percent : 0;
    return {
      nats: lang === 'en' ? 1 : 1.5 - (percent > 0 ? (lang === 'et' ? 0.1 : 0.3) : 0),
      match: lang === 'en' ? 1 : percent > 0 ? 0.8 : 0,
      chrf: 50,
    };
  });

  it('draws the hub, seen and unseen languages over the ticks', () => {
    const results = analysed(spec, models);
    const curve = figure(results, 'curve-likelihood', 'curve');
    expect(curve.series.map(({ name }) => name)).toEqual(['English', 'seen', 'unseen']);
    expect(curve.series[1]?.points.map(({ xLabel }) => xLabel)).toEqual(['0', '10 examples', '50', '100']);
    const [at0, at10] = curve.series[2]!.points;
    expect(at0!.y.value - at10!.y.value).toBeCloseTo(0.1, 1);
    expect(curve.paper).toContain('E3');
    const score = figure(results, 'curve-score-against-hub-chrf-gated', 'curve');
    expect(score.reference).toBe(50);
    expect(score.series[0]?.points[0]?.y).toEqual({ value: 50, n: 0 });
    expect(score.series[1]?.points[1]?.y.low).toBeGreaterThan(50);
  });

  it('has means over the groups with their differences to P = 0', () => {
    const results = analysed(spec, models);
    const seen = number(cell(results, 'groups-likelihood-differences', 'P = 50 %', 'seen'));
    expect(seen.low).toBeLessThan(-0.3);
    expect(seen.high).toBeGreaterThan(-0.3);
    const all = table(results, 'groups-likelihood').rows.map(({ arm }) => arm);
    const compared = table(results, 'groups-likelihood-differences').rows.map(({ arm }) => arm);
    expect(all.filter((arm) => !compared.includes(arm))).toEqual(['English only (P = 0 %)']);
    expect(results.question).toContain('English');
  });

  it('has no unseen languages where all are in the mixture', () => {
    const all = simulatedSpec({ ...spec, evalLanguages: ['en', 'fi', 'ru'] });
    const results = analysed(
      all,
      simulateModels(all, () => ({ nats: 1, match: 1, chrf: 50 })),
    );
    const curve = figure(results, 'curve-likelihood', 'curve');
    expect(curve.series.map(({ name }) => name)).toEqual(['English', 'other languages']);
    expect(curve.paper).toContain('E2');
  });
});

describe('languages', () => {
  it('draws each order whole, models shared, and their mean in unseen languages', () => {
    const spec = simulatedSpec({
      protocol: 'languages',
      examples: 100,
      languages: ['en', 'fi', 'ru'],
      evalLanguages: ['et', 'cs'],
      orders: 3,
      against: 'none',
    });
    const models = simulateModels(spec, ({ at }) => ({
      nats: 2 - 0.2 * Number(at.k ?? 0),
      match: 0.5,
      chrf: 50,
    }));
    const results = analysed(spec, models);
    const curve = figure(results, 'curve-likelihood', 'curve');
    expect(curve.series.map(({ name }) => name)).toEqual([
      'mean of the orders',
      'order 1',
      'order 2',
      'order 3',
    ]);
    for (const { points } of curve.series) {
      expect(points.map(({ x }) => x)).toEqual([1, 2, 3]);
      expect(points[0]!.y.value - points[2]!.y.value).toBeCloseTo(0.4, 1);
    }
    const last = curve.series.slice(1).map(({ points }) => points[2]!.y.value);
    expect(new Set(last).size).toBe(1);
  });
});

describe('pairs', () => {
  it('compares a pair with both of its languages alone, in the others', () => {
    const spec = simulatedSpec({
      protocol: 'pairs',
      examples: 100,
      languages: ['en', 'fi', 'ru', 'sw'],
      against: 'none',
    });
    const models = simulateModels(spec, ({ at }) => ({
      nats: at.a === undefined ? 1.5 : 1.2,
      match: 1,
      chrf: 50,
    }));
    const results = analysed(spec, models);
    const { rows } = table(results, 'pairs-likelihood');
    expect(rows).toHaveLength(2);
    for (const row of rows) {
      for (const key of ['lessFirst', 'lessSecond']) {
        const less = number(row[key]!);
        expect(less.value).toBeCloseTo(-0.3, 1);
        expect(less.high).toBeLessThan(-0.2);
      }
    }
    const drawn = figure(results, 'pairs-likelihood', 'pairs');
    expect(drawn.groups).toHaveLength(6);
    expect(new Set(drawn.groups.map(({ series }) => series)).size).toBe(3);
  });
});

describe('pretraining-share', () => {
  const shares = Object.fromEntries(PAPER_LANGUAGES.map((lang, at) => [lang, at + 1]));
  const spec = simulatedSpec({
    protocol: 'pretraining-share',
    examples: 100,
    shares,
    against: 'monolingual',
  });

  it('correlates over tuning languages, the hub left out, never over cells', () => {
    const models = simulateModels(spec, ({ at }) => ({
      nats: 2 - 0.05 * (shares[String(at.language)] ?? 0),
      match: 0.5,
      chrf: 50,
    }));
    const results = analysed(spec, models);
    const row = table(results, 'transfer-predictors').rows.find(
      ({ predictor, measure }) =>
        String(predictor).startsWith('share of pretraining') && String(measure).includes('likelihood'),
    );
    expect(row?.n).toBe('11');
    expect(number(row!.r!).value).toBeGreaterThan(0.95);
    expect(number(row!.p!).value).toBeLessThan(0.01);
    const scatter = figure(results, 'scatter-share-likelihood', 'scatter');
    expect(scatter.points.map(({ label }) => label)).not.toContain('en');
    expect(scatter.points).toHaveLength(11);
    expect(scatter.note).toMatch(/^r = (1\.00|0\.9\d), n = 11, p < 0\.001$/);
    expect(results.figures.some(({ kind }) => kind === 'heatmap')).toBe(true);
  });

  it('does without shares, and says so', () => {
    const { shares: _, ...without } = spec;
    const bare = simulatedSpec(without);
    const results = analysed(
      bare,
      simulateModels(bare, () => ({ nats: 1, match: 0.5, chrf: 50 })),
    );
    expect(results.figures.map(({ id }) => id)).not.toContain('scatter-share-likelihood');
    expect(results.figures.map(({ id }) => id)).toContain('scatter-script-likelihood');
    expect(results.warnings.join(' ')).toContain('No table of pretraining shares');
  });
});

describe('warnings', () => {
  it('name what the data shows', () => {
    const spec = custom({ system: 'You are helpful.' });
    const models = simulateModels(spec, () => ({ nats: 1, match: 1, chrf: 50 })).map((model) => ({
      ...model,
      items: model.items.map((item, at) => {
        const { languageMatch, ...measures } = item.measures;
        return at % 3 > 0
          ? { ...item, measures: { ...measures, languageUndecided: 1 } }
          : { ...item, measures: { ...item.measures, lineLanguagePass: 1 } };
      }),
    }));
    const summary = {
      identification: { fi: { recall: 0.5, n: 60 }, en: { recall: 0.99, n: 60 } },
      rule: {
        references: { fi: { n: 60, right: 0.8, wrong: 0.1, undecided: 0.1 } },
        shuffled: { fi: { n: 60, right: 0.3, wrong: 0.2, undecided: 0.5 } },
      },
      notes: [
        'few answers have a line of five words or more, for line-level pass: fi 1 of 60',
        'hr and sr are one language to the measures',
      ],
    } as unknown as MeasureSummary;
    const results = analysed(spec, models, [summary]);
    const text = results.warnings.join('\n');
    expect(text).toMatch(/60 items: intervals are wide/);
    expect(text).toMatch(/One seed/);
    expect(text).toMatch(/same system prompt/);
    expect(text).toMatch(/fi 50 % of 60/);
    expect(text).not.toMatch(/en 99/);
    expect(text).toMatch(/over 10 % of the answers are in no language/);
    // Over all models: a model's own note does not say whose it is.
    expect(text).toMatch(/In (\d+) of \1 cells under half of the answers have a line of five words/);
    expect(text).not.toMatch(/fi 1 of 60/);
    expect(text).toMatch(/Hr and sr are one language/);
    expect(number(cell(results, 'language-match', 'even', 'fi')).grey).toBe(true);
    expect(figure(results, 'arms-language-match', 'pairs').groups.every(({ grey }) => grey)).toBe(true);
    expect(figure(results, 'arms-likelihood', 'pairs').groups.some(({ grey }) => grey)).toBe(false);
    expect(number(table(results, 'language-rule').rows[0]!.shuffledRight!).value).toBe(30);
  });

  it('mark what is of fewer seeds than the arm has', () => {
    const spec = custom({ seeds: 2 });
    const models = simulateModels(spec, () => ({ nats: 1, match: 1, chrf: 50 })).map((model) => ({
      ...model,
      items: model.items.map((item) => {
        if (model.arm.id !== 'even' || item.lang !== 'fi' || model.seed !== 1) return item;
        const { languageMatch: _, ...measures } = item.measures;
        return { ...item, measures: { ...measures, languageUndecided: 1 } };
      }),
    }));
    const results = analysed(spec, models);
    for (const column of ['fi', 'mean']) {
      expect(number(cell(results, 'language-match', 'even', column)), column).toMatchObject({ grey: true });
      expect(number(cell(results, 'language-match', 'english', column)), column).not.toHaveProperty('grey');
    }
    expect(number(cell(results, 'language-match', 'even', 'en'))).not.toHaveProperty('grey');
    // A difference is no better than what it is of.
    expect(cell(results, 'language-match', 'even', 'difference')).toMatchObject({ grey: true });
    expect(cell(results, 'language-match-differences', 'even', 'fi')).toMatchObject({ grey: true });
    expect(cell(results, 'language-match-differences', 'even', 'en')).not.toHaveProperty('grey');
    const groups = table(results, 'groups-language-match-differences').rows.find(
      ({ arm }) => arm === 'even',
    )!;
    expect(groups['other languages']).toMatchObject({ grey: true });
    expect(groups.English).not.toHaveProperty('grey');
    expect(results.warnings.join(' ')).toMatch(/In some language or seed no answer is decided for even:/);
  });

  it('mark a mean over fewer languages than that of other arms', () => {
    const spec = custom();
    const models = simulateModels(spec, () => ({ nats: 1, match: 1, chrf: 50 })).map((model) => ({
      ...model,
      items: model.items.map((item) => {
        if (model.arm.id !== 'even' || item.lang !== 'fi') return item;
        const { languageMatch: _, ...measures } = item.measures;
        return { ...item, measures: { ...measures, languageUndecided: 1 } };
      }),
    }));
    const results = analysed(spec, models);
    expect(cell(results, 'language-match', 'even', 'fi')).toBeNull();
    expect(number(cell(results, 'language-match', 'even', 'mean')).grey).toBe(true);
    expect(number(cell(results, 'language-match', 'english', 'mean'))).not.toHaveProperty('grey');
    expect(results.warnings.join(' ')).toMatch(/In some language or seed no answer is decided for even:/);
  });

  it('name arms of which not all seeds are finished', () => {
    const spec = custom({ seeds: 2 });
    const models = simulateModels(spec, () => ({ nats: 1, match: 1, chrf: 50 })).filter(
      ({ arm, seed }) => !(arm.id === 'even' && seed === 1),
    );
    expect(analysed(spec, models).warnings.join(' ')).toMatch(/Not all seeds of even are finished/);
  });
});

it('analyses 12 × 12 × 617 in seconds', () => {
  const spec = simulatedSpec({ protocol: 'monolingual' });
  const models = simulateModels(spec, () => ({ nats: 1, match: 0.5, chrf: 50 }), { items: 617 });
  const started = performance.now();
  analyse(spec, models, provenanceOf(spec));
  const seconds = (performance.now() - started) / 1000;
  console.log(`E1 of 12 languages and 617 items analysed in ${seconds.toFixed(1)} s`);
  expect(seconds).toBeLessThan(40);
}, 60_000);
