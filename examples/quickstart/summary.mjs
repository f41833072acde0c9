// What the pinch does, in one screen: the share of answers in the language of the question, where the script settles it,
// with intervals, drawn; the references' loss; exact answers; and a few questions with every model's answer.
import { PairedBootstrap } from 'mlit-native';

/** Languages of the set whose script no other language of the set uses. */
export const BY_SCRIPT = ['ar', 'he', 'hi', 'ru', 'zh'];
const WIDTH = 20;

/** Every item is won or lost: a share of none or all has an interval too, which resampling alone would not give. */
const SHARE = [0, 1];

/** One number of a model: the mean over languages of each language's mean (or ratio of sums) over the items. */
const MEASURES = [
  {
    key: 'script',
    value: ({ measures }) => (measures.languageUndecided ? 0 : measures.languageMatch),
    range: SHARE,
    only: BY_SCRIPT,
  },
  { key: 'exactHub', value: ({ measures }) => measures.exactMatch, range: SHARE, only: ['en'] },
  { key: 'exactOthers', value: ({ measures }) => measures.exactMatch, range: SHARE, except: ['en'] },
  {
    key: 'lossHub',
    value: ({ measures }) => measures.nats,
    weight: ({ measures }) => measures.bytes,
    only: ['en'],
  },
  {
    key: 'lossOthers',
    value: ({ measures }) => measures.nats,
    weight: ({ measures }) => measures.bytes,
    except: ['en'],
  },
];

/**
 * @param models what `collectModels` gives: {arm: {id, label}, items: [{item, lang, measures}]}, one a seed
 * @returns {{id: string, label: string, numbers: Record<string, {value: number, low?: number, high?: number, n: number}>}[]}
 */
export function summarize(models) {
  const items = [...new Set(models.flatMap((model) => model.items.map(({ item }) => item)))].sort();
  const places = new Map(items.map((item, at) => [item, at]));
  return models.map(({ arm, items: results }) => {
    const numbers = {};
    for (const { key, value, weight = () => 1, range, only, except = [] } of MEASURES) {
      const byLanguage = new Map();
      for (const result of results) {
        const counted = only ? only.includes(result.lang) : !except.includes(result.lang);
        if (!counted || value(result) === undefined) continue;
        if (!byLanguage.has(result.lang)) {
          const weights = new Float64Array(items.length);
          byLanguage.set(result.lang, { values: new Float64Array(items.length), weights, range });
        }
        const cell = byLanguage.get(result.lang);
        cell.values[places.get(result.item)] = value(result);
        cell.weights[places.get(result.item)] = weight(result);
      }
      if (byLanguage.size === 0) continue;
      const cells = [...byLanguage.values()];
      const mean = new PairedBootstrap(cells);
      numbers[key] = mean.combine(cells.map((_, cell) => ({ cell, weight: 1 / cells.length })));
    }
    return { id: arm.id, label: arm.label, numbers };
  });
}

const oneLine = (text) => text.replace(/\s*\n\s*/g, ' ⏎ ').slice(0, 60);
const percent = (share) => `${Math.round(100 * share)}`;
const interval = ({ value, low, high }, show) =>
  low === undefined ? show(value) : `${show(value)} [${show(low)}, ${show(high)}]`;

/** Each model's share of answers in the language of the question where the script settles it, drawn. */
export function describeByScript(models) {
  const rows = summarize(models);
  const width = Math.max(...rows.map(({ label }) => [...label].length));
  return rows
    .map(({ label, numbers: { script } }) => {
      const full = Math.round(script.value * WIDTH);
      const bar = '█'.repeat(full) + '░'.repeat(WIDTH - full);
      return `  ${label}${' '.repeat(width - [...label].length)}  ${bar}  ${interval(script, percent)}\n`;
    })
    .join('');
}

/** The screen. `records`: the evaluation set's; `models`: with `response` in their items. */
export function describe(models, records) {
  const rows = summarize(models);
  const width = Math.max(...rows.map(({ label }) => [...label].length));
  const name = (label) => label + ' '.repeat(width - [...label].length);
  const lines = [
    `\nAnswers in the language of the question, in ${BY_SCRIPT.join(', ')}, where the script settles it (%, 95 % interval)\n`,
  ];
  lines.push(describeByScript(models).trimEnd());
  lines.push(
    '\nExact answers (%), and what the references cost (nats a byte, less is better), in English and in the other languages\n',
    `  ${name('')}  ${['exact, en', 'exact, others', 'loss, en', 'loss, others'].map((head) => head.padStart(22)).join('')}`,
  );
  for (const { label, numbers } of rows) {
    const { exactHub, exactOthers, lossHub, lossOthers } = numbers;
    const loss = (value) => value.toFixed(2);
    const cells = [
      interval(exactHub, percent),
      interval(exactOthers, percent),
      interval(lossHub, loss),
      interval(lossOthers, loss),
    ];
    lines.push(`  ${name(label)}  ${cells.map((cell) => cell.padStart(22)).join('')}`);
  }
  lines.push(`\nThe same questions, a different item in each language\n`);
  for (const [index, lang] of ['en', ...BY_SCRIPT].entries()) {
    const record = records.filter((each) => each.lang === lang)[index * 3];
    if (record === undefined) continue;
    lines.push(`  ${lang}  ${record.instruction}   (${record.response})`);
    for (const { arm, items } of models) {
      const found = items.find((each) => each.item === record.parallel_id && each.lang === lang);
      lines.push(`      ${name(arm.label)}  ${oneLine(found?.response ?? '')}`);
    }
  }
  return `${lines.join('\n')}\n`;
}
