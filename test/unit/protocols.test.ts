// Which models an experiment trains is what it asks: the arms of each protocol, as the paper and the budget want them.
import { readdir, readFile } from 'node:fs/promises';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { allocate } from '../../lib/data/mixture/allocate';
import {
  defaultTicks,
  expandProtocol,
  PAPER_EXAMPLES,
  PAPER_LANGUAGES,
  PINCH_LANGUAGES,
  SIMILARITY_LANGUAGES,
  UNSEEN_LANGUAGES,
} from '../../lib/experiment/protocols';
import { languageOrders } from '../../lib/experiment/protocols/orders';
import { splitIntoPairs } from '../../lib/experiment/protocols/pairs';
import {
  type ExperimentInput,
  experimentSchema,
  readExperiment,
  resolveExperiment,
} from '../../lib/experiment/spec';
import type { Arm } from '../../lib/experiment/types';

const FILES = { model: 'm', data: 'train.jsonl', eval: 'eval.jsonl' };

function arms(input: Partial<ExperimentInput>, available?: readonly string[]): Arm[] {
  return expandProtocol(
    resolveExperiment({ name: 'test', protocol: 'monolingual', ...FILES, ...input }),
    available,
  );
}

const ids = (list: readonly Arm[]): string[] => list.map(({ id }) => id);

describe('monolingual, similarity, pretraining-share', () => {
  it('has a model a language and the base, and every comparison among them', () => {
    const list = arms({});
    expect(ids(list)).toEqual(['base', ...PAPER_LANGUAGES.map((lang) => `mono-${lang}`)]);
    expect(list.every(({ evaluate }) => evaluate.join() === PAPER_LANGUAGES.join())).toBe(true);
    expect(list[1]?.mixture).toEqual({ kind: 'mono', language: 'ar', n: PAPER_EXAMPLES });
  });

  it('adds the hub where answers are compared with it', () => {
    expect(ids(arms({ languages: ['fi', 'et'], against: 'hub', base: false }))).toEqual([
      'mono-fi',
      'mono-et',
      'mono-en',
    ]);
    expect(ids(arms({ languages: ['fi', 'et'], against: 'none', base: false }))).toEqual([
      'mono-fi',
      'mono-et',
    ]);
  });

  it('takes seven Slavic languages for similarity, and the arms of E1 for shares', () => {
    expect(ids(arms({ protocol: 'similarity', base: false }))).toEqual(
      SIMILARITY_LANGUAGES.map((lang) => `mono-${lang}`),
    );
    expect(arms({ protocol: 'pretraining-share' })).toEqual(arms({}));
  });
});

describe('pinch', () => {
  it('has 40 examples for the first tick at the budget of the paper, one percent at any other', () => {
    expect(defaultTicks(4640)[1]).toBe('count:40');
    expect(defaultTicks(480)[1]).toBe(1);
    const [, first] = arms({ protocol: 'pinch', base: false });
    expect(allocate(first!.mixture!)).toMatchObject({ en: 4600 });
    const others = Object.entries(allocate(first!.mixture!)).filter(([lang]) => lang !== 'en');
    expect(others.map(([, count]) => count).sort()).toEqual([3, 3, 3, 3, 4, 4, 4, 4, 4, 4, 4]);
    const [, small] = arms({ protocol: 'pinch', base: false, examples: 480 });
    expect(small?.mixture).toMatchObject({ percent: 1 });
  });

  it('makes P = 0 the hub alone, so that no second model of it is asked for', () => {
    const list = arms({ protocol: 'pinch' });
    expect(list[1]).toMatchObject({ id: 'pinch-0', mixture: { kind: 'mono', language: 'en', n: 4640 } });
    expect(ids(list)).not.toContain('mono-en');
    expect(list.filter(({ at }) => at.role === 'reference')).toHaveLength(11);
    expect(new Set(ids(list)).size).toBe(list.length);
  });

  it('evaluates what the set has where the file does not say', () => {
    const [arm] = arms({ protocol: 'pinch', languages: ['en', 'fi'] }, ['en', 'fi', 'et']);
    expect(arm?.evaluate).toEqual(['en', 'fi', 'et']);
    const [other] = arms({ protocol: 'pinch', languages: ['fi'], evalLanguages: ['et'] });
    expect(other?.evaluate).toEqual(['et']);
    expect(arms({ protocol: 'pinch', languages: ['fi'] })[0]?.evaluate).toEqual(['fi', 'en']);
  });

  it('puts a count where its percentage would be, and refuses more than the budget', () => {
    const list = arms({
      protocol: 'pinch',
      examples: 480,
      languages: ['en', 'fi'],
      ticks: [100, 'count:24', 0, 'count:0'],
      base: false,
      against: 'none',
    });
    expect(list.map(({ id, at }) => [id, at.percent])).toEqual([
      ['pinch-100', 100],
      ['pinch-count24', 10],
      ['pinch-0', 0],
    ]);
    expect(() => arms({ protocol: 'pinch', examples: 30, ticks: ['count:40'] })).toThrow(
      /ticks: 'count:40' is more than the budget of 30/,
    );
    expect(() => arms({ protocol: 'pinch', languages: ['en'] })).toThrow(/a language besides the hub 'en'/);
  });
});

describe('languages', () => {
  it('draws three orders of six; equal sets are one model', () => {
    const list = arms({ protocol: 'languages', base: false, against: 'none' });
    expect(list.length).toBeLessThanOrEqual(16);
    const sets = list.map(({ mixture }) => Object.keys(allocate(mixture!)).join());
    expect(new Set(sets).size).toBe(list.length);
    for (const order of [1, 2, 3]) {
      const own = list.filter(({ at }) => String(at.orders).split(',').includes(String(order)));
      expect(own.map(({ at }) => at.k).sort()).toEqual([1, 2, 3, 4, 5, 6]);
    }
    expect(list[0]?.evaluate).toEqual(PAPER_LANGUAGES);
    expect([...PINCH_LANGUAGES, ...UNSEEN_LANGUAGES].sort()).toEqual([...PAPER_LANGUAGES].sort());
  });

  it('draws orders that are permutations, differ, and depend on the set only', () => {
    const codes = fc.uniqueArray(fc.constantFrom(...PAPER_LANGUAGES), { minLength: 3 });
    fc.assert(
      fc.property(codes, fc.nat(1000), fc.integer({ min: 1, max: 5 }), (languages, seed, count) => {
        const orders = languageOrders(languages, count, seed);
        expect(orders).toHaveLength(count);
        expect(new Set(orders.map((order) => order.join())).size).toBe(count);
        for (const order of orders) expect([...order].sort()).toEqual([...languages].sort());
        expect(languageOrders([...languages].reverse(), count, seed)).toEqual(orders);
      }),
    );
  });

  it('has fewer orders where there are fewer permutations', () => {
    expect(languageOrders(['en', 'fi'], 3, 0)).toHaveLength(2);
  });
});

describe('pairs', () => {
  it('has each language in one pair, and every language alone', () => {
    const list = arms({ protocol: 'pairs', base: false });
    const pairs = list.filter(({ at }) => at.a !== undefined);
    expect(pairs.flatMap(({ at }) => [at.a, at.b]).sort()).toEqual([...PAPER_LANGUAGES].sort());
    expect(list.filter(({ at }) => at.role === 'parent')).toHaveLength(12);
    expect(ids(list)).toHaveLength(18);
  });

  it('splits by the seed and the set', () => {
    fc.assert(
      fc.property(fc.nat(1000), (seed) => {
        const pairs = splitIntoPairs(PAPER_LANGUAGES, seed);
        expect(pairs.flat().sort()).toEqual([...PAPER_LANGUAGES].sort());
        expect(splitIntoPairs([...PAPER_LANGUAGES].reverse(), seed)).toEqual(pairs);
      }),
    );
    expect(splitIntoPairs(PAPER_LANGUAGES, 1)).not.toEqual(splitIntoPairs(PAPER_LANGUAGES, 2));
  });

  it('refuses an odd number', () => {
    expect(() => arms({ protocol: 'pairs', languages: ['en', 'fi', 'et'] })).toThrow(/3 is odd/);
  });
});

describe('custom', () => {
  it('reads arms, with the budget of the file unless the line has its own', () => {
    const list = arms({
      protocol: 'custom',
      examples: 100,
      against: 'none',
      arms: {
        untuned: 'base',
        english: 'mono:language=en',
        mixed: 'pinch:count=40,languages=ar+fi,hub=en',
        small: 'mono:language=en,n=50,policy=overlap',
      },
    });
    expect(list.map(({ id, mixture }) => [id, mixture])).toEqual([
      ['untuned', undefined],
      ['english', { kind: 'mono', language: 'en', n: 100 }],
      ['mixed', { kind: 'pinch', count: 40, languages: ['ar', 'fi'], hub: 'en', n: 100 }],
      ['small', { kind: 'mono', language: 'en', n: 50, policy: 'overlap' }],
    ]);
    expect(list[0]?.evaluate).toEqual(['en', 'ar', 'fi']);
  });

  it('adds comparisons once, whatever the arm is called', () => {
    const list = arms({
      protocol: 'custom',
      arms: { english: 'mono:language=en', even: 'uniform:languages=en+fi' },
    });
    expect(ids(list)).toEqual(['base', 'english', 'even', 'mono-fi']);
    const hub = arms({ protocol: 'custom', against: 'hub', arms: { english: 'explicit:en=4640' } });
    expect(ids(hub)).toEqual(['base', 'english']);
  });

  it('names the arm of a line that is wrong', () => {
    expect(() => arms({ protocol: 'custom' })).toThrow(/arms: protocol 'custom' needs them/);
    expect(() => arms({ protocol: 'custom', arms: { a: 'pich:count=1' } })).toThrow(/arms: a: .*pinch/);
    expect(() => arms({ protocol: 'custom', arms: { a: 'mono:language=en,seed=2' } })).toThrow(
      /arms: a: .* names a seed/,
    );
  });
});

it('suggests the code of a language that is none', () => {
  expect(() => arms({ languages: ['cz'] })).toThrow(/test: languages: 'cz'.*did you mean 'cs'/);
  expect(() => arms({ hub: 'english' })).toThrow(/test: hub: 'english'/);
  expect(() => arms({ evalLanguages: ['jp'] })).toThrow(/evalLanguages.*'ja'/);
});

it('keeps ids unique and mixtures within the budget in every protocol', () => {
  const languages = fc.uniqueArray(fc.constantFrom(...PAPER_LANGUAGES), { minLength: 2, maxLength: 12 });
  const against = fc.constantFrom('monolingual' as const, 'hub' as const, 'none' as const);
  const protocol = fc.constantFrom(
    'monolingual' as const,
    'pinch' as const,
    'languages' as const,
    'pairs' as const,
  );
  fc.assert(
    fc.property(languages, against, protocol, fc.integer({ min: 20, max: 5000 }), (codes, rival, kind, n) => {
      const even = kind === 'pairs' && codes.length % 2 === 1 ? codes.slice(1) : codes;
      if (even.length < 2) return;
      const list = arms({ protocol: kind, languages: even, against: rival, examples: n });
      expect(new Set(ids(list)).size).toBe(list.length);
      for (const { mixture } of list) {
        if (mixture === undefined) continue;
        const counts = Object.values(allocate(mixture));
        expect(counts.reduce((sum, count) => sum + count, 0)).toBe(n);
      }
    }),
  );
});

it('ships E1 to E7 as files that can be read and expanded', async () => {
  const folder = new URL('../../examples/experiments/', import.meta.url).pathname;
  const files = (await readdir(folder)).filter((file) => /^e\d-.*\.yaml$/.test(file)).sort();
  expect(files).toHaveLength(7);
  const sizes: Record<string, number> = {};
  for (const file of files) {
    const spec = await readExperiment(`${folder}${file}`);
    sizes[spec.name] = expandProtocol(spec).length;
  }
  expect(sizes).toEqual({
    'e1-monolingual': 13,
    'e2-pinch': 24,
    'e3-pinch-of-six': 24,
    'e4-languages': expect.any(Number),
    'e5-pairs': 19,
    'e6-similarity': 8,
    'e7-pretraining-share': 13,
  });
});

it('has every key of the file in its documentation', async () => {
  const page = await readFile(new URL('../../docs/experiments.md', import.meta.url), 'utf8');
  const missing = Object.keys(experimentSchema.shape).filter((key) => !page.includes(`\`${key}\``));
  expect(missing).toEqual([]);
});
