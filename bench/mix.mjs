// How long drawing a mixture takes where the data is large: a million records, as one language and as twelve, from objects in
// memory to the drawn set with its manifest.
import { performance } from 'node:perf_hooks';
import { table } from './report.mjs';

const LANGUAGES = ['ar', 'cs', 'en', 'es', 'et', 'fi', 'he', 'hi', 'it', 'ru', 'sw', 'zh'];
const twelve = LANGUAGES.join('+');

const CASES = [
  { items: 1_000_000, languages: ['en'], recipe: 'mono:language=en' },
  { items: 84_000, languages: LANGUAGES, recipe: `uniform:languages=${twelve}` },
  { items: 84_000, languages: LANGUAGES, recipe: `pinch:percent=50,languages=${twelve},policy=nested` },
  { items: 84_000, languages: LANGUAGES, recipe: `pinch:percent=50,languages=${twelve},policy=overlap` },
  { items: 84_000, languages: LANGUAGES, holes: 0.3, recipe: `uniform:languages=${twelve},n=70000` },
];

function makeRecords({ items, languages, holes = 0 }) {
  const records = [];
  let state = 1;
  for (const lang of languages) {
    for (let i = 0; i < items; i += 1) {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      if (state / 2 ** 32 < holes) continue;
      const turns = [
        { role: 'user', content: `What is number ${i}?` },
        { role: 'assistant', content: `Number ${i} in ${lang}.` },
      ];
      const source = { file: 'records.jsonl', line: records.length + 1 };
      records.push({ id: `${lang}-${i}`, lang, parallelId: `item-${i}`, turns, source });
    }
  }
  return records;
}

/** Each case `rounds` times; the best and the median in seconds. */
export async function benchMix({ rounds }) {
  const { mixture } = await import('../dist/index.js');
  const cases = CASES.map((each) => {
    const records = makeRecords(each);
    const seconds = Array.from({ length: rounds }, () => {
      const start = performance.now();
      mixture(records, each.recipe);
      return (performance.now() - start) / 1000;
    }).sort((a, b) => a - b);
    const [kind, rest] = each.recipe.split(':');
    const policy = /policy=(\w+)/.exec(rest)?.[1] ?? 'disjoint';
    return {
      case: `${kind}, ${policy}${each.holes ? `, ${each.holes * 100} % holes` : ''}`,
      records: records.length,
      languages: each.languages.length,
      best: seconds[0],
      median: seconds[seconds.length >> 1],
    };
  });
  const rows = cases.map((c) => [
    c.case,
    String(c.records),
    String(c.languages),
    c.best.toFixed(2),
    c.median.toFixed(2),
  ]);
  console.log(table(['case', 'records', 'languages', 'seconds best', 'median'], rows));
  return { cases };
}
