// A store of an experiment that never was: models with planted effects answer in eight languages, with words drawn at random. For
// tests of the report's page, for its screenshots, and for what a hundred thousand answers cost. Everything in it says that it is
// simulated.
import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const WORDS = {
  en: 'the water boils when it is hot and then you add rice salt oil an onion stir slowly for ten minutes until soft',
  ar: 'الماء يغلي عندما يصبح ساخنا ثم أضف الأرز والملح والزيت مع بصلة وحرك ببطء لمدة عشر دقائق حتى ينضج',
  he: 'המים רותחים כאשר הם חמים ואז מוסיפים אורז מלח שמן ובצל ומערבבים לאט במשך עשר דקות עד שיתרכך',
  hi: 'पानी गरम होने पर उबलता है फिर चावल नमक तेल और प्याज डालें धीरे से दस मिनट तक चलाएं जब तक नरम न हो',
  ru: 'вода кипит когда горячая затем добавьте рис соль масло и лук медленно мешайте десять минут пока не станет мягким',
  fi: 'vesi kiehuu kun se on kuumaa sitten lisää riisi suola öljy ja sipuli sekoita hitaasti kymmenen minuuttia kunnes pehmeää',
  sw: 'maji huchemka yakiwa moto kisha ongeza mchele chumvi mafuta na kitunguu koroga polepole kwa dakika kumi hadi iwe laini',
  zh: '水 热 了 就 会 开 然后 加入 米饭 盐 油 和 洋葱 慢慢 搅拌 十 分钟 直到 变 软',
};

export const LANGUAGES = Object.keys(WORDS);

/** Uniform numbers below 1 (mulberry32). */
function randomNumbers(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

const hashOf = (text) => createHash('sha256').update(text).digest('hex').slice(0, 32);

/** `count` words of a language; a full stop at the end. */
export function sentence(lang, count, random) {
  const words = WORDS[lang].split(' ');
  const chosen = Array.from({ length: count }, () => words[Math.floor(random() * words.length)]);
  return `${chosen.join(lang === 'zh' ? '' : ' ')}${lang === 'zh' ? '。' : '.'}`;
}

/** How often a model answers in the prompt's language: what a pinch is said to do. */
function matchRate(arm, lang) {
  if (lang === 'en') return 0.99;
  if (arm.id === 'base') return 0.7;
  const { percent = 0 } = arm.at;
  return percent === 0 ? 0.1 : Math.min(0.97, 0.75 + percent / 400);
}

/**
 * Makes `folder`/runs with the experiment `simulated`; returns the store's folder.
 *
 * @param {string} folder
 * @param {{ library: typeof import('../../lib/index'), items?: number, seeds?: number, ticks?: (number | string)[], words?: number,
 *   unfinished?: number, hostile?: string[] }} options `words` of an answer on average; `unfinished` models lack
 *   their measures; `hostile` texts stand among the prompts and answers
 */
export async function simulateStore(folder, options) {
  const {
    library,
    items = 40,
    seeds = 1,
    ticks = [0, 'count:4', 10, 100],
    words = 14,
    unfinished = 0,
    hostile = [],
  } = options;
  mkdirSync(folder, { recursive: true });
  const file = join(folder, 'simulated.yaml');
  const yaml = {
    protocol: 'pinch',
    model: 'simulated',
    data: 'none.jsonl',
    eval: 'none.jsonl',
    languages: LANGUAGES,
    evalLanguages: LANGUAGES,
    examples: 480,
    ticks,
    against: 'hub',
    seeds,
    store: 'runs',
  };
  writeFileSync(file, JSON.stringify(yaml));
  const spec = await library.readExperiment(file);
  const arms = library.expandProtocol(spec);
  const prompts = LANGUAGES.flatMap((lang, place) => {
    const random = randomNumbers(1000 + place);
    return Array.from({ length: items }, (_, item) => {
      const text = hostile[item] ?? sentence(lang, 6 + Math.floor(random() * 6), random);
      return {
        id: `item-${String(item).padStart(5, '0')}.${lang}`,
        item: `item-${String(item).padStart(5, '0')}`,
        lang,
        prompt: `<start_of_turn>user\n${text}<end_of_turn>\n<start_of_turn>model\n`,
      };
    });
  });
  const references = prompts.map(({ id, lang, item }, place) => {
    const random = randomNumbers(500_000 + place);
    const length = Math.max(1, Math.round(words * (0.5 + random())));
    return { id, lang, reference: hostile[Number(item.slice(5))] ?? sentence(lang, length, random) };
  });
  const storeFolder = spec.store;
  const store = await library.Store.open(storeFolder, { write: true });
  try {
    const models = arms.flatMap((arm) =>
      (arm.mixture === undefined
        ? [spec.seed]
        : Array.from({ length: seeds }, (_, at) => spec.seed + at)
      ).map((seed) => ({
        arm,
        seed,
        jobs: {
          ...(arm.mixture !== undefined && { train: hashOf(`train ${arm.id} ${seed}`) }),
          sample: hashOf(`sample ${arm.id} ${seed}`),
          measure: hashOf(`measure ${arm.id} ${seed}`),
        },
      })),
    );
    for (const [at, { arm, jobs }] of models.entries()) {
      const random = randomNumbers(7919 * (at + 1));
      const answers = [];
      const measures = [];
      for (const [place, { id, item, lang, prompt }] of prompts.entries()) {
        const right = random() < matchRate(arm, lang);
        const said = right ? lang : 'en';
        const length = Math.max(1, Math.round(words * (0.5 + random())));
        const empty = random() < 0.01;
        const response = hostile[place % items] ?? (empty ? '' : sentence(said, length, random));
        answers.push({
          id,
          lang,
          parallel_id: item,
          sample: 0,
          prompt,
          response,
          tokens: [],
          finishReason: 'end',
        });
        const chrf = right ? 30 + 40 * random() : 12 * random();
        measures.push({
          id,
          sample: 0,
          item,
          lang,
          answerLang: said,
          measures: {
            languageMatch: right ? 1 : 0,
            languageUndecided: 0,
            chrf,
            rougeL: chrf * 0.8,
            exactMatch: 0,
            empty: empty ? 1 : 0,
            truncated: 0,
            repetition: 0,
            responseTokens: length,
            responseChars: response.length,
          },
        });
      }
      const finish = async (kind, hash, files) => {
        const place = await store.begin(hash);
        for (const [name, lines] of Object.entries(files)) {
          mkdirSync(join(place, name, '..'), { recursive: true });
          writeFileSync(join(place, name), lines);
        }
        const startedAt = '2026-01-01T00:00:00.000Z';
        const description = { kind, simulated: true };
        await store.commit({
          hash,
          kind,
          description,
          startedAt,
          seconds: 1,
          host: 'none',
          threads: 1,
          summary: {},
        });
      };
      const jsonl = (values) => values.map((value) => `${JSON.stringify(value)}\n`).join('');
      if (jobs.train !== undefined)
        await finish('train', jobs.train, { 'run/events.jsonl': jsonl(trainEvents(random)) });
      await finish('sample', jobs.sample, { 'answers.jsonl': jsonl(answers) });
      if (at >= models.length - unfinished) continue;
      const summary = {
        version: 1,
        answers: answers.length,
        records: prompts.length,
        references: prompts.length,
        languages: LANGUAGES,
        identification: {},
        rule: { references: {}, shuffled: {} },
        byLanguage: {},
        notes: [],
      };
      await finish('measure', jobs.measure, {
        'measures.jsonl': jsonl(measures),
        'summary.json': JSON.stringify(summary),
      });
    }
    const graph = {
      version: 1,
      experiment: spec.name,
      protocol: spec.protocol,
      spec,
      arms,
      seeds: Array.from({ length: seeds }, (_, at) => spec.seed + at),
      models: models.map(({ arm, seed, jobs }) => ({ arm: arm.id, seed, jobs })),
      estimates: {},
      provenance: {
        model: 'simulated: no model ran, words are drawn at random',
        modelSha256: hashOf('simulated').repeat(2),
        data: [{ file: 'simulated.jsonl', sha256: hashOf('data').repeat(2) }],
        eval: [{ file: 'simulated.jsonl', sha256: hashOf('eval').repeat(2) }],
        machine: 'none',
      },
    };
    const lines = references.map((reference) => `${JSON.stringify(reference)}\n`).join('');
    await store.experiments.write(spec.name, {
      'graph.json': JSON.stringify(graph),
      'references.jsonl': lines,
    });
  } finally {
    await store.close();
  }
  return storeFolder;
}

function trainEvents(random) {
  return Array.from({ length: 60 }, (_, at) => ({
    type: 'step',
    step: at + 1,
    loss: 1 + 2.5 * Math.exp(-at / 15) + 0.2 * random(),
    learningRate: 5e-4,
    gradNorm: 1,
    tokens: 1000,
    supervisedTokens: 500,
    seconds: 2,
    tokensPerSecond: 480 + 40 * random(),
  }));
}
