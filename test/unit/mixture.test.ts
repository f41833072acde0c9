// Mixtures keep their promises for any table, budget and seed: budgets exact, policies what they say, order of no account.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Example } from '../../lib/data/example';
import {
  type Allocation,
  allocate,
  drawMixture,
  type MixturePolicy,
  mixture,
  ParallelTable,
  parseMixtureSpec,
} from '../../lib/data/mixture';
import { isMlitError, type MlitError } from '../../lib/native/errors';

const TWELVE = ['ar', 'cs', 'en', 'es', 'et', 'fi', 'he', 'hi', 'it', 'ru', 'sw', 'zh'];
const OTHERS = TWELVE.filter((language) => language !== 'en');
const POLICIES: MixturePolicy[] = ['disjoint', 'overlap', 'nested'];

function example(item: string, lang: string, line = 1): Example {
  return {
    id: `${item}-${lang}`,
    lang,
    parallelId: item,
    turns: [
      { role: 'user', content: `${item}?` },
      { role: 'assistant', content: `${item} ${lang}` },
    ],
    source: { file: 'data.jsonl', line },
  };
}

const parallel = (items: number, languages: readonly string[] = TWELVE): Example[] =>
  languages.flatMap((lang) => Array.from({ length: items }, (_, i) => example(`item${i}`, lang)));

const ids = (examples: readonly Example[]): string[] => examples.map(({ id }) => id).sort();
const itemsOf = (examples: readonly Example[]): string[] => examples.map((e) => e.parallelId!).sort();
const outside = (examples: readonly Example[], hub: string): string[] =>
  ids(examples.filter(({ lang }) => lang !== hub));

function counts(examples: readonly Example[]): Allocation {
  const result: Record<string, number> = {};
  for (const { lang } of examples) result[lang] = (result[lang] ?? 0) + 1;
  return Object.fromEntries(Object.entries(result).sort(([a], [b]) => (a < b ? -1 : 1)));
}

function failure(action: () => unknown): MlitError {
  try {
    action();
  } catch (error) {
    if (isMlitError(error)) return error;
    throw error;
  }
  throw new Error('expected an MlitError');
}

const seeds = fc.integer({ min: 0, max: 2 ** 40 });
const policies = fc.constantFrom(...POLICIES);
const sets = fc.uniqueArray(fc.constantFrom(...TWELVE), { minLength: 1, maxLength: 12 });
const shuffled = <T>(list: readonly T[]) => fc.shuffledSubarray([...list], { minLength: list.length });

/** A table with holes, with an allocation that a hidden assignment of its items meets. */
const holey = fc.tuple(sets, fc.integer({ min: 1, max: 40 })).chain(([languages, items]) =>
  fc
    .array(fc.record({ own: fc.integer({ min: 0, max: 11 }), more: fc.subarray(languages) }), {
      minLength: items,
      maxLength: items,
    })
    .chain((rows) =>
      fc.array(fc.boolean(), { minLength: items, maxLength: items }).map((used) => {
        const examples: Example[] = [];
        const allocation: Record<string, number> = {};
        rows.forEach(({ own, more }, i) => {
          const lang = languages[own % languages.length]!;
          for (const each of new Set([lang, ...more])) examples.push(example(`item${i}`, each));
          if (used[i]) allocation[lang] = (allocation[lang] ?? 0) + 1;
        });
        return { examples, allocation };
      }),
    ),
);

describe('allocate', () => {
  it('splits the paper’s 40 as it says: 7 languages get 4, 4 get 3', () => {
    const allocation = allocate({ kind: 'pinch', count: 40, languages: TWELVE, hub: 'en', n: 4640 });
    const values = OTHERS.map((language) => allocation[language]);
    expect(allocation.en).toBe(4600);
    expect(values.filter((value) => value === 4)).toHaveLength(7);
    expect(values.filter((value) => value === 3)).toHaveLength(4);
  });

  it('counts the hub’s share in a percentage: 480 items at P = 1 have 4 outside it', () => {
    const pinch = (percent: number, n: number) =>
      allocate({ kind: 'pinch', percent, languages: OTHERS, hub: 'en', n });
    expect(480 - pinch(1, 480).en!).toBe(4);
    expect(pinch(0, 480)).toEqual({ en: 480 });
    expect(pinch(100, 480)).toEqual(Object.fromEntries(TWELVE.map((language) => [language, 40])));
    expect(pinch(100, 485)).toEqual(allocate({ kind: 'uniform', languages: TWELVE, n: 485 }));
    expect(pinch(50, 480).en).toBe(260);
  });

  it('is exact, near its share, and a function of the set', () => {
    fc.assert(
      fc.property(
        sets.chain((set) => fc.tuple(fc.constant(set), shuffled(set))),
        fc.integer({ min: 1, max: 5000 }),
        seeds,
        ([set, other], n, seed) => {
          const uniform = allocate({ kind: 'uniform', languages: set, n, seed });
          const values = Object.values(uniform);
          expect(values.reduce((a, b) => a + b, 0)).toBe(n);
          if (values.length === set.length) expect(Math.max(...values) - Math.min(...values)).toBeLessThan(2);
          expect(allocate({ kind: 'uniform', languages: other, n, seed })).toEqual(uniform);
          expect(allocate({ kind: 'prefix', order: other, k: set.length, n, seed })).toEqual(uniform);
          const weights = Object.fromEntries(other.map((language) => [language, 0.1]));
          expect(allocate({ kind: 'weights', weights, n, seed })).toEqual(uniform);
          if (set.length === 2)
            expect(allocate({ kind: 'pair', a: other[0]!, b: other[1]!, n, seed })).toEqual(uniform);
        },
      ),
    );
  });

  it('follows weights, and records by temperature', () => {
    expect(allocate({ kind: 'weights', weights: { en: 3, fi: 1, sw: 0 }, n: 40 })).toEqual({
      en: 30,
      fi: 10,
    });
    const records = { en: 900, fi: 100 };
    const tempered = (temperature: number) =>
      allocate({ kind: 'temperature', temperature, languages: ['fi', 'en'], n: 100 }, records);
    expect(tempered(1)).toEqual({ en: 90, fi: 10 });
    expect(tempered(2)).toEqual({ en: 75, fi: 25 });
    expect(tempered(1e9)).toEqual({ en: 50, fi: 50 });
    expect(
      failure(() => allocate({ kind: 'temperature', temperature: 1, languages: ['et'], n: 1 }, records))
        .message,
    ).toContain('no records in et');
  });

  it('grows by language as a pinch grows', () => {
    fc.assert(
      fc.property(sets, fc.nat(300), fc.nat(300), seeds, (languages, one, two, seed) => {
        const [less, more] = [Math.min(one, two), Math.max(one, two)];
        const at = (count: number) =>
          allocate({ kind: 'pinch', count, languages: [...languages, 'fr'], hub: 'en', n: 300, seed });
        const [a, b] = [at(less), at(more)];
        for (const language of languages)
          if (language !== 'en') expect(b[language] ?? 0).toBeGreaterThanOrEqual(a[language] ?? 0);
      }),
    );
  });

  it('refuses what can’t be', () => {
    const bad: [Parameters<typeof allocate>[0], string][] = [
      [{ kind: 'pinch', count: 9, languages: ['fi'], hub: 'en', n: 8 }, 'count'],
      [{ kind: 'pinch', count: 1, languages: ['en'], hub: 'en', n: 8 }, 'languages'],
      [{ kind: 'pinch', percent: 101, languages: ['fi'], hub: 'en', n: 8 }, 'percent'],
      [{ kind: 'prefix', order: ['fi'], k: 2, n: 8 }, 'k'],
      [{ kind: 'mono', language: 'en', n: 0 }, 'n'],
      [{ kind: 'weights', weights: { en: 0 }, n: 2 }, 'weights'],
      [{ kind: 'weights', weights: { en: 1, fi: -1 }, n: 2 }, 'weights.fi'],
      [{ kind: 'explicit', counts: { en: 1.5 } }, 'counts.en'],
      [{ kind: 'explicit', counts: { en: 0 } }, 'counts'],
      [{ kind: 'temperature', temperature: 0, languages: ['en'], n: 2 }, 'temperature'],
    ];
    for (const [spec, field] of bad) {
      const error = failure(() => allocate(spec, { en: 1 }));
      expect(error).toMatchObject({ code: 'MIXTURE_INVALID', fields: { field } });
    }
    expect(() => allocate({ kind: 'mono', language: 'en', n: 1, seed: -1 })).toThrow(RangeError);
    expect(failure(() => allocate({ kind: 'mono', language: 'cz', n: 1 })).message).toContain("'cs' (Czech)");
  });
});

describe('drawMixture', () => {
  it('keeps budgets exactly, under every policy', () => {
    const table = ParallelTable.from(parallel(60));
    fc.assert(
      fc.property(sets, fc.integer({ min: 1, max: 60 }), policies, seeds, (languages, n, policy, seed) => {
        const allocation = allocate({ kind: 'uniform', languages, n, seed });
        const drawn = drawMixture(table, { allocation, policy, seed });
        expect(counts(drawn)).toEqual(allocation);
        expect(new Set(ids(drawn)).size).toBe(n);
        if (policy !== 'overlap') expect(new Set(itemsOf(drawn)).size).toBe(n);
      }),
    );
  });

  it('disjoint and nested: the same items in the same order for every allocation; only the language varies', () => {
    const table = ParallelTable.from(parallel(50));
    fc.assert(
      fc.property(
        sets,
        sets,
        fc.integer({ min: 1, max: 50 }),
        fc.constantFrom('disjoint', 'nested'),
        seeds,
        (a, b, n, policy, seed) => {
          const draw = (languages: string[]) =>
            drawMixture(table, {
              allocation: allocate({ kind: 'uniform', languages, n, seed }),
              policy: policy as MixturePolicy,
              seed,
            });
          expect(draw(a).map((e) => e.parallelId)).toEqual(draw(b).map((e) => e.parallelId));
        },
      ),
    );
  });

  it('nested: a smaller part of other languages is inside a larger one, for every pair of counts', () => {
    const data = ParallelTable.from(parallel(40));
    for (const seed of [0, 1, 2 ** 40]) {
      const at = (count: number) =>
        outside(
          mixture(data, { kind: 'pinch', count, languages: OTHERS, hub: 'en', n: 40, seed, policy: 'nested' })
            .examples,
          'en',
        );
      const parts = Array.from({ length: 41 }, (_, count) => at(count));
      for (let less = 0; less <= 40; less += 1) {
        for (let more = less; more <= 40; more += 1) {
          const larger = new Set(parts[more]);
          expect(
            parts[less]!.every((id) => larger.has(id)),
            `${less} in ${more}`,
          ).toBe(true);
        }
      }
    }
  });

  it('nested: also by percent, with holes, and where the allocation is given as counts with its hub', () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.constantFrom(...OTHERS), { minLength: 1 }),
        fc.array(fc.tuple(fc.nat(79), fc.constantFrom(...OTHERS)), { maxLength: 60 }),
        fc.integer({ min: 0, max: 100 }),
        fc.integer({ min: 0, max: 100 }),
        seeds,
        (languages, holes, one, two, seed) => {
          const gone = new Set(holes.map(([item, lang]) => `item${item}-${lang}`));
          const table = ParallelTable.from(parallel(80).filter(({ id }) => !gone.has(id)));
          const draw = (percent: number) => {
            const spec = {
              kind: 'pinch',
              percent,
              languages,
              hub: 'en',
              n: 30,
              seed,
              policy: 'nested',
            } as const;
            const drawn = mixture(table, spec);
            const again = mixture(table, {
              kind: 'explicit',
              counts: drawn.allocation,
              hub: 'en',
              policy: 'nested',
              seed,
            });
            expect(again.examples).toEqual(drawn.examples);
            return drawn.examples;
          };
          const [small, large] = [draw(Math.min(one, two)), draw(Math.max(one, two))];
          expect(large).toHaveLength(30);
          const larger = new Set(outside(large, 'en'));
          for (const id of outside(small, 'en')) expect(larger.has(id)).toBe(true);
        },
      ),
      { numRuns: 60 },
    );
  });

  it('overlap: each language draws on its own, the hub as if it were alone', () => {
    const table = ParallelTable.from(parallel(200));
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 100 }), seeds, (count, seed) => {
        const draw = (languages: string[]) =>
          drawMixture(table, {
            allocation: { en: 100, ...Object.fromEntries(languages.map((each) => [each, count])) },
            policy: 'overlap',
            hub: 'en',
            seed,
          });
        const [two, three] = [draw(['fi']), draw(['fi', 'sw'])];
        const part = (drawn: Example[], lang: string) => itemsOf(drawn.filter((e) => e.lang === lang));
        expect(part(three, 'fi')).toEqual(part(two, 'fi'));
        expect(part(three, 'en')).toEqual(itemsOf(drawMixture(table, { allocation: { en: 100 }, seed })));
        if (count === 100) expect(part(three, 'fi')).not.toEqual(part(three, 'sw'));
      }),
    );
    const everything = drawMixture(table, { allocation: { en: 200, fi: 200 }, policy: 'overlap' });
    expect(counts(everything)).toEqual({ en: 200, fi: 200 });
  });

  it('one language is one set under every policy, and a pinch of none', () => {
    const table = ParallelTable.from(parallel(30));
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 30 }), seeds, (n, seed) => {
        const mono = mixture(table, { kind: 'mono', language: 'en', n, seed });
        for (const policy of POLICIES) {
          const none = mixture(table, {
            kind: 'pinch',
            count: 0,
            languages: OTHERS,
            hub: 'en',
            n,
            seed,
            policy,
          });
          expect(none.examples).toEqual(mono.examples);
          expect(mixture(table, { kind: 'mono', language: 'en', n, seed, policy }).manifest.idsHash).toBe(
            mono.manifest.idsHash,
          );
        }
      }),
    );
  });

  it('same seed, same set; another seed, another set', () => {
    const table = ParallelTable.from(parallel(300));
    fc.assert(
      fc.property(policies, seeds, seeds, (policy, seed, other) => {
        const draw = (s: number) =>
          mixture(table, { kind: 'uniform', languages: TWELVE, n: 100, policy, seed: s });
        expect(draw(seed)).toEqual(draw(seed));
        if (other !== seed) {
          expect(draw(other).manifest.idsHash).not.toBe(draw(seed).manifest.idsHash);
          expect(itemsOf(draw(other).examples)).not.toEqual(itemsOf(draw(seed).examples));
        }
      }),
    );
  });

  it('the order of records makes no difference', () => {
    fc.assert(
      fc.property(
        holey.chain(({ examples, allocation }) =>
          fc.tuple(fc.constant(examples), shuffled(examples), fc.constant(allocation)),
        ),
        seeds,
        ([examples, other, allocation], seed) => {
          fc.pre(Object.keys(allocation).length > 0);
          const spec = { kind: 'explicit', counts: allocation, seed } as const;
          expect(mixture(other, spec)).toEqual(mixture(examples, spec));
        },
      ),
    );
  });

  it('finds an assignment wherever there is one, whatever the holes', () => {
    fc.assert(
      fc.property(holey, seeds, ({ examples, allocation }, seed) => {
        fc.pre(Object.keys(allocation).length > 0);
        const drawn = drawMixture(ParallelTable.from(examples), { allocation, seed });
        expect(counts(drawn)).toEqual(Object.fromEntries(Object.entries(allocation).sort()));
        expect(new Set(itemsOf(drawn)).size).toBe(drawn.length);
      }),
      { numRuns: 300 },
    );
  });

  it('works on data that is not parallel', () => {
    const data = ['en', 'fi'].flatMap((lang) =>
      Array.from({ length: 20 }, (_, i): Example => {
        const { parallelId: _item, ...alone } = example(`${lang}${i}`, lang);
        return alone;
      }),
    );
    const drawn = mixture(data, 'weights:en=3,fi=1,n=24');
    expect(counts(drawn.examples)).toEqual({ en: 18, fi: 6 });
    expect(mixture(data, 'uniform:languages=en+fi').examples).toHaveLength(40);
  });

  it('is spread over the file: no language comes in one run', () => {
    const langs = mixture(parallel(100), 'pinch:count=50,languages=fi,policy=nested').examples.map(
      (e) => e.lang,
    );
    const changes = langs.filter((lang, i) => i > 0 && lang !== langs[i - 1]).length;
    expect(changes).toBeGreaterThan(20);
  });
});

describe('too few items', () => {
  const odd = parallel(10).filter(
    ({ lang, parallelId }) => lang !== 'fi' || Number(parallelId!.slice(4)) % 2 === 0,
  );

  it('names the language, how many are missing, and items without it', () => {
    const error = failure(() => mixture(odd, 'explicit:fi=7,en=2'));
    expect(error).toMatchObject({ code: 'MIXTURE_INVALID', fields: { languages: ['fi'], missing: [2] } });
    expect(error.message).toMatch(/fi: 7 asked, 5 there, 2 missing.*'item1'/);
  });

  it('names languages that share too few', () => {
    const pairOnly = [
      ...parallel(6, ['fi', 'et']),
      ...Array.from({ length: 9 }, (_, i) => example(`en${i}`, 'en')),
    ];
    const error = failure(() => mixture(pairOnly, 'explicit:fi=4,et=4,en=9'));
    expect(error).toMatchObject({ code: 'MIXTURE_INVALID', fields: { languages: ['et', 'fi'], missing: 2 } });
    expect(error.message).toMatch(/et, fi together: 8 asked, 6 there, 2 missing.*overlap/);
    expect(counts(mixture(pairOnly, 'explicit:fi=4,et=4,en=9,policy=overlap').examples)).toEqual({
      en: 9,
      et: 4,
      fi: 4,
    });
  });

  it('refuses to break a nesting, and says what would do', () => {
    // One item is only in Finnish; if English has to take another that Finnish was dealt, nesting ends.
    const data = [example('a', 'fi'), example('b', 'fi'), example('b', 'en')];
    const outcomes = new Set<string>();
    for (let seed = 0; seed < 20; seed += 1) {
      const spec = { kind: 'explicit', counts: { en: 1, fi: 1 }, hub: 'en', seed } as const;
      expect(counts(mixture(data, spec).examples)).toEqual({ en: 1, fi: 1 });
      try {
        mixture(data, { ...spec, policy: 'nested' });
        outcomes.add('nested');
      } catch (error) {
        expect((error as Error).message).toContain('policy=disjoint');
        outcomes.add('refused');
      }
    }
    expect([...outcomes].sort()).toEqual(['nested', 'refused']);
  });

  it('names languages that are not there at all, and says when no record has any', () => {
    expect(failure(() => mixture(odd, 'mono:language=de')).message).toContain('no records in de');
    const nameless = parallel(3, ['en']).map((each) => ({ ...each, lang: 'und' }));
    expect(failure(() => mixture(nameless, 'mono:language=en')).message).toContain('names its language');
  });
});

describe('the table', () => {
  it('refuses an item twice in a language, and codes that are none', () => {
    const twice = [example('a', 'en', 1), { ...example('a', 'en', 2), id: 'other' }];
    const error = failure(() => ParallelTable.from(twice));
    expect(error.code).toBe('DATA_INVALID');
    expect(error.message).toMatch(/data\.jsonl:2: item 'a' is there twice in en, first at data\.jsonl:1/);
    expect(failure(() => ParallelTable.from([example('a', 'eng', 7)])).message).toMatch(
      /data\.jsonl:7: lang: 'eng'.*'en'/,
    );
    expect(failure(() => ParallelTable.from([]))).toMatchObject({ code: 'DATA_EMPTY' });
  });

  it('fails where train and evaluation share an item in any language', () => {
    const evaluation = [{ ...example('item3', 'sv'), id: 'elsewhere' }];
    expect(failure(() => mixture(parallel(5), 'mono:language=en', { evaluation }))).toMatchObject({
      code: 'DATA_INVALID',
    });
    expect(
      mixture(parallel(5), 'mono:language=en', { evaluation: [example('new', 'en')] }).examples,
    ).toHaveLength(5);
  });
});

describe('the manifest', () => {
  it('says recipe, counts, bytes, sources and a hash of the set', () => {
    const data = parallel(4, ['en', 'fi']).map((each, i) => ({
      ...each,
      origin: each.lang === 'fi' ? { source: `set${i % 2}`, translation: 'system' } : { source: 'own' },
    }));
    const { manifest, allocation, examples } = mixture(data, 'pair:a=fi,b=en,seed=3');
    expect(allocation).toEqual({ en: 2, fi: 2 });
    expect(manifest).toMatchObject({
      version: 1,
      spec: 'pair:a=en,b=fi,n=4,policy=disjoint,seed=3',
      policy: 'disjoint',
      seed: 3,
      n: 4,
    });
    expect(manifest.languages.en).toEqual({
      examples: 2,
      responseBytes: 2 * 'item0 en'.length,
      sources: ['own'],
      translationSystems: [],
    });
    expect(manifest.languages.fi!.translationSystems).toEqual(['system']);
    expect(manifest.idsHash).toMatch(/^[0-9a-f]{64}$/);
    expect(mixture([...examples].reverse(), 'pair:a=en,b=fi,seed=9').manifest.idsHash).toBe(manifest.idsHash);
  });
});

it('n from the data is the same for every k of an order', () => {
  const data = [...parallel(8, ['en', 'fi']), ...parallel(10, ['sw'])];
  for (const k of [1, 2, 3]) {
    const spec = parseMixtureSpec(`prefix:order=sw+fi+en,k=${k}`);
    expect(mixture(data, spec).examples).toHaveLength(10);
  }
});
