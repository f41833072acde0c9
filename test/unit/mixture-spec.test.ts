// A recipe means the same in a flag, a file and a manifest; a mistake in it is named with what was probably meant.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  formatMixtureSpec,
  languagesOf,
  type MixtureInput,
  parseMixtureSpec,
  pinchNote,
  planMixture,
  readMixtureSpec,
} from '../../lib/data/mixture';
import { checkLanguageCode, suggestLanguageCode } from '../../lib/text/language-codes';
import { scratch } from '../support/fixtures';

const folder = scratch();
const CODES = ['ar', 'cs', 'en', 'fi', 'sr-Latn', 'sw', 'zh', 'zh-Hant'];

const languages = fc.uniqueArray(fc.constantFrom(...CODES), { minLength: 1 });
const common = {
  n: fc.integer({ min: 1, max: 1e6 }),
  policy: fc.constantFrom('disjoint' as const, 'overlap' as const, 'nested' as const),
  seed: fc.nat(),
};
const map = (value: fc.Arbitrary<number>) => fc.dictionary(fc.constantFrom(...CODES), value, { minKeys: 1 });
const specs = fc.oneof(
  fc.record({ kind: fc.constant('mono' as const), language: fc.constantFrom(...CODES), ...common }),
  fc.record({
    kind: fc.constant('pinch' as const),
    count: fc.nat(100),
    languages,
    hub: fc.constant('de'),
    ...common,
  }),
  fc.record({
    kind: fc.constant('pinch' as const),
    percent: fc.double({ min: 0, max: 100, noNaN: true }),
    languages,
    hub: fc.constant('de'),
    ...common,
  }),
  fc.record({ kind: fc.constant('uniform' as const), languages, ...common }),
  languages.chain((order) =>
    fc.record({
      kind: fc.constant('prefix' as const),
      order: fc.constant(order),
      k: fc.integer({ min: 1, max: order.length }),
      ...common,
    }),
  ),
  fc.record({
    kind: fc.constant('pair' as const),
    a: fc.constant('it'),
    b: fc.constantFrom(...CODES),
    ...common,
  }),
  fc.record({
    kind: fc.constant('explicit' as const),
    counts: map(fc.integer({ min: 1, max: 99 })),
    policy: common.policy,
    seed: common.seed,
  }),
  fc.record({
    kind: fc.constant('weights' as const),
    weights: map(fc.double({ min: 0.001, max: 9, noNaN: true })),
    ...common,
  }),
  fc.record({
    kind: fc.constant('temperature' as const),
    temperature: fc.double({ min: 0.1, max: 9, noNaN: true }),
    languages,
    ...common,
  }),
);

describe('text', () => {
  it('reads every generator', () => {
    const defaults = { policy: 'disjoint', seed: 0 };
    expect(parseMixtureSpec('pinch:count=40,languages=zh+ar+en,hub=en,n=480,policy=nested,seed=1')).toEqual({
      kind: 'pinch',
      count: 40,
      languages: ['ar', 'zh'],
      hub: 'en',
      n: 480,
      policy: 'nested',
      seed: 1,
    });
    expect(parseMixtureSpec('mono:language=it')).toEqual({ kind: 'mono', language: 'it', ...defaults });
    expect(parseMixtureSpec('mono:language=it', { n: 7 })).toMatchObject({ n: 7 });
    expect(parseMixtureSpec('prefix:order=ar+fi+it,k=2')).toMatchObject({ order: ['ar', 'fi', 'it'], k: 2 });
    expect(parseMixtureSpec('explicit:en=440,fi=40')).toEqual({
      kind: 'explicit',
      counts: { en: 440, fi: 40 },
      ...defaults,
    });
    expect(parseMixtureSpec('weights:en=3,fi=1,n=8')).toEqual({
      kind: 'weights',
      weights: { en: 3, fi: 1 },
      n: 8,
      ...defaults,
    });
    expect(parseMixtureSpec('temperature:temperature=2,languages=en+fi')).toMatchObject({ temperature: 2 });
  });

  it('comes back from its canonical line, from YAML-like objects, and once more', () => {
    fc.assert(
      fc.property(specs, (spec) => {
        const line = formatMixtureSpec(spec as MixtureInput);
        const read = parseMixtureSpec(line);
        expect(read).toEqual(parseMixtureSpec(spec));
        expect(formatMixtureSpec(read)).toBe(line);
      }),
    );
  });

  it('names every mistake and what was meant', () => {
    const message = (value: unknown): string => {
      try {
        parseMixtureSpec(value);
      } catch (error) {
        expect(error).toMatchObject({ code: 'MIXTURE_INVALID' });
        return (error as Error).message;
      }
      return 'no error';
    };
    expect(message('pinch:cuont=4,languages=ar')).toMatch(/no key 'cuont'.*'count'/);
    expect(message('pinsh:count=4')).toMatch(/got "pinsh".*'pinch'/);
    expect(message('explicit:en=440,polcy=nested')).toMatch(/'polcy'.*'policy'/);
    expect(message('explicit:eng=4')).toMatch(/'eng'.*'en' \(English\)/);
    expect(message('uniform:languages=ar+cz')).toMatch(/'cz'.*'cs' \(Czech\)/);
    expect(message('uniform:languages=ar+ar')).toMatch(/'ar' is named twice/);
    expect(message('uniform:languages=en,fi')).toMatch(/'fi'.*joined by \+/);
    expect(message('pinch:count=4,percent=1,languages=ar')).toMatch(/one of count and percent, got both/);
    expect(message('pinch:languages=ar')).toMatch(/one of count and percent, got neither/);
    expect(message('pinch:count=4,languages=en')).toMatch(/besides the hub 'en'/);
    expect(message('mono:n=3')).toMatch(/language: is needed/);
    expect(message('mono:language=en,n=1.5')).toMatch(/n: .*1\.5/);
    expect(message('mono:language=en,language=fi')).toMatch(/given twice/);
    expect(message('mono:language=en,policy=disjont')).toMatch(/policy/);
    expect(message('prefix:order=ar+fi,k=3')).toMatch(/k: expected at most 2/);
    expect(message('pair:a=en,b=en')).toMatch(/both 'en'/);
    expect(message('weights:en=0')).toMatch(/at least one/);
    expect(message({ kind: 'mono', language: 'en', extra: 1 })).toMatch(/no key 'extra'/);
    expect(message(['mono'])).toMatch(/expected KIND/);
    expect(message('')).toMatch(/kind: expected one of mono/);
  });

  it('names five unknown keys of many', () => {
    const many = Object.fromEntries(Array.from({ length: 500 }, (_, at) => [`key${at}`, 1]));
    expect(() => parseMixtureSpec({ kind: 'pinch', languages: ['fi'], count: 1, ...many } as never)).toThrow(
      /no key 'key0'.*no key 'key4'[^;]*; and 49\d others$/s,
    );
  });

  it('says little of a line that is long', () => {
    const long = 'x'.repeat(70_000);
    for (const line of [`mono:${long}`, `mono:${long}=1,${long}=2`, `${long}:n=1`, `explicit:${long}=1`]) {
      let message = '';
      try {
        parseMixtureSpec(line);
      } catch (error) {
        message = (error as Error).message;
      }
      expect(message.length).toBeGreaterThan(40);
      expect(message.length).toBeLessThan(1000);
    }
  });

  it('reads a YAML file with the same keys', async () => {
    const file = join(folder, 'pinch.yaml');
    writeFileSync(file, 'kind: pinch\ncount: 40\nlanguages: [zh, ar]\nn: 480\n');
    expect(await readMixtureSpec(file)).toEqual(parseMixtureSpec('pinch:count=40,languages=ar+zh,n=480'));
    writeFileSync(file, 'kind: pinch\ncount: 40\nlanguags: [zh, ar]\n');
    await expect(readMixtureSpec(file)).rejects.toThrow(/pinch\.yaml: .*'languags'.*'languages'/);
    writeFileSync(file, 'kind: [');
    await expect(readMixtureSpec(file)).rejects.toMatchObject({ code: 'MIXTURE_INVALID' });
    await expect(readMixtureSpec(join(folder, 'none.yml'))).rejects.toMatchObject({ code: 'FILE_NOT_FOUND' });
  });
});

it('plans: recipes for one set are one plan; a single language has no policy; only where it matters there is a hub', () => {
  const plan = (text: string) => planMixture(parseMixtureSpec(text, { n: 100 }));
  expect(plan('mono:language=en,policy=nested')).toEqual(plan('pinch:count=0,languages=fi'));
  expect(plan('prefix:order=fi+sw+en,k=2')).toEqual(plan('pair:a=sw,b=fi'));
  expect(plan('pinch:count=40,languages=fi')).not.toHaveProperty('hub');
  expect(plan('pinch:count=90,languages=fi,policy=nested')).toMatchObject({ hub: 'en', policy: 'nested' });
  expect(plan('explicit:en=10,fi=90,policy=nested').hub).toBe('fi');
  expect(languagesOf(parseMixtureSpec('pinch:count=1,languages=sw+fi'))).toEqual(['en', 'fi', 'sw']);
});

it('says why 40 is not one percent of every budget', () => {
  const others = 'ar+cs+es+et+fi+he+hi+it+ru+sw+zh';
  const say = (text: string) => pinchNote(parseMixtureSpec(text));
  expect(say(`pinch:count=40,languages=${others},n=4640`)).toMatch(
    /3 or 4 in each of 11 languages.*n = 4,640 only/,
  );
  expect(say(`pinch:count=40,languages=${others},n=480`)).toContain('of these 480 they are 8.3 %');
  expect(say(`pinch:percent=1,languages=${others},n=480`)).toMatch(/^percent=1: 4 of 480 .*count=40/);
  expect(say(`pinch:percent=10,languages=${others},n=480`)).toBeUndefined();
  expect(say('mono:language=en,n=40')).toBeUndefined();
});

describe('language codes', () => {
  it('passes canonical codes, suggests them for others', () => {
    for (const code of ['en', 'zh-Hant', 'sr-Latn', 'pt-BR', 'und', 'tlh', 'qaa'])
      expect(checkLanguageCode(code)).toBe(code);
    const meant = {
      eng: 'en',
      english: 'en',
      iw: 'he',
      zh_CN: 'zh-CN',
      cz: 'cs',
      gr: 'el',
      EN: 'en',
      suomi: 'fi',
      finish: 'fi',
      ger: 'de',
      jp: 'ja',
      cmn: 'zh',
      en_XX: 'en',
    };
    for (const [wrong, right] of Object.entries(meant)) {
      expect(suggestLanguageCode(wrong), wrong).toBe(right);
      expect(() => checkLanguageCode(wrong, 'file:3')).toThrow(`did you mean '${right}'`);
    }
    for (const nothing of ['xx', '', 'x-foo', '☃']) {
      expect(() => checkLanguageCode(nothing)).toThrow(/is no language code/);
      expect(suggestLanguageCode(nothing)).toBeUndefined();
    }
  });
});
