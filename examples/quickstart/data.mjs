// The quickstart's data set, made on the spot from Unicode's CLDR: the names of emoji, and of the places that
// flags stand for, exist there in every language, so one table gives questions and answers that are parallel in
// twelve languages and that a program can check.
import { createHash } from 'node:crypto';
import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { WORDINGS } from './wordings.mjs';

export const LANGUAGES = ['ar', 'zh', 'cs', 'en', 'et', 'fi', 'he', 'hi', 'it', 'ru', 'es', 'sw'];

const TEST_ITEMS = 120;
const DEV_ITEMS = 60;
const SEED = 'quickstart-1';

const require = createRequire(import.meta.url);

// Regions that CLDR names but that have no flag of their own among the emoji.
const NO_FLAG = new Set(['EZ', 'QO', 'XA', 'XB', 'ZZ']);
// Territories that fly the flag of another, so that their emoji look alike.
const SAME_FLAG = [
  ['NO', 'SJ', 'BV'],
  ['AU', 'HM'],
  ['FR', 'CP', 'MF'],
  ['US', 'UM'],
];

const hash = (text) => createHash('sha256').update(`${SEED} ${text}`).digest();
const codePoints = (text) => [...text].map((char) => char.codePointAt(0).toString(16)).join('-');

/** Text as two answers are compared: without case, width, punctuation. */
export const normalize = (text) =>
  text
    .normalize('NFKC')
    .toLowerCase()
    .replace(/[^\p{L}\p{M}\p{N}]+/gu, ' ')
    .trim();

/** An emoji without skin tone, sex and presentation: its variants are no items of their own when held out. */
export const emojiKey = (emoji) =>
  emoji
    .replace(/[\u{1F3FB}-\u{1F3FF}\uFE0F]/gu, '')
    .replace(/\u200D[\u2640\u2642]/gu, '')
    .replace(/[\u{1F468}\u{1F469}]/gu, '\u{1F9D1}');

const flagEmoji = (code) =>
  String.fromCodePoint(...[...code].map((letter) => 0x1f1e6 + letter.charCodeAt(0) - 65));

/** @returns items that have a name in all languages: {id, kind, symbol, key, names: {lang: name}} */
export function readItems() {
  const emojiNames = {};
  const placeNames = {};
  for (const lang of LANGUAGES) {
    const annotations = require(`cldr-annotations-full/annotations/${lang}/annotations.json`);
    emojiNames[lang] = annotations.annotations.annotations;
    const territories = require(`cldr-localenames-full/main/${lang}/territories.json`);
    placeNames[lang] = territories.main[lang].localeDisplayNames.territories;
  }
  const items = [];
  const add = (id, kind, symbol, key, nameIn) => {
    const names = Object.fromEntries(LANGUAGES.map((lang) => [lang, nameIn(lang)?.trim()]));
    if (Object.values(names).every((name) => name)) items.push({ id, kind, symbol, key, names });
  };
  for (const emoji of Object.keys(emojiNames.en)) {
    // CLDR annotates signs such as brackets and arrows as well; only pictures are asked for.
    if (!/^\p{Extended_Pictographic}/u.test(emoji)) continue;
    const key = `emoji ${emojiKey(emoji)}`;
    add(`emoji-${codePoints(emoji)}`, 'emoji', emoji, key, (lang) => emojiNames[lang][emoji]?.tts?.[0]);
  }
  for (const code of Object.keys(placeNames.en)) {
    if (!/^[A-Z]{2}$/.test(code) || NO_FLAG.has(code)) continue;
    const flag = SAME_FLAG.find((codes) => codes.includes(code))?.[0] ?? code;
    // A place without a name of its own in some language is listed there by its bare code.
    const nameIn = (lang) => (placeNames[lang][code] === code ? undefined : placeNames[lang][code]);
    add(`flag-${code}`, 'flag', flagEmoji(code), `flag ${flag}`, nameIn);
  }
  return items;
}

/** Items whose keys, or whose answers in any one language, are the same: they are held out together or not at all. */
export function groupItems(items) {
  const parent = items.map((_, index) => index);
  const find = (index) => {
    while (parent[index] !== index) index = parent[index] = parent[parent[index]];
    return index;
  };
  const firstWith = new Map();
  items.forEach((item, index) => {
    const marks = [item.key, ...LANGUAGES.map((lang) => `${lang} ${normalize(item.names[lang])}`)];
    for (const mark of marks) {
      if (firstWith.has(mark)) parent[find(index)] = find(firstWith.get(mark));
      else firstWith.set(mark, index);
    }
  });
  const groups = new Map();
  items.forEach((item, index) => {
    const root = find(index);
    groups.set(root, [...(groups.get(root) ?? []), item]);
  });
  return [...groups.values()];
}

/** Whole groups in an order that only their ids decide: the first fill the test, the next the dev set. */
export function splitItems(items) {
  const groups = groupItems(items)
    .map((group) => ({ group, order: hash(group.map((item) => item.id).join(' ')).toString('hex') }))
    .sort((a, b) => (a.order < b.order ? -1 : 1));
  const parts = { test: [], dev: [], train: [] };
  for (const { group } of groups) {
    const fits = (part, limit) => parts[part].length + group.length <= limit;
    const part = fits('test', TEST_ITEMS) ? 'test' : fits('dev', DEV_ITEMS) ? 'dev' : 'train';
    parts[part].push(...group);
  }
  return parts;
}

/** The records of one item, one a language, all by the same wording; only the test has the test's wordings. */
export function recordsOf(item, part) {
  return LANGUAGES.map((lang) => {
    const wordings = WORDINGS[lang][item.kind][part === 'test' ? 'test' : 'train'];
    const wording = wordings[hash(`wording ${item.id}`)[0] % wordings.length];
    return {
      id: `${item.id}.${lang}`,
      lang,
      instruction: wording.replace('{}', item.symbol),
      response: item.names[lang],
      parallel_id: item.id,
    };
  });
}

/**
 * Writes train.jsonl, dev.jsonl and test.jsonl below `folder`; the same versions of CLDR give the same bytes.
 * @returns {{train: string, dev: string, test: string, items: Record<string, number>}} the paths and item counts
 */
export function buildData(folder) {
  const parts = splitItems(readItems());
  const path = (part) => join(folder, `${part}.jsonl`);
  mkdirSync(folder, { recursive: true });
  for (const [part, items] of Object.entries(parts)) {
    const lines = items.flatMap((item) => recordsOf(item, part)).map((record) => JSON.stringify(record));
    const partial = `${path(part)}.${process.pid}.partial`;
    writeFileSync(partial, `${lines.join('\n')}\n`);
    renameSync(partial, path(part));
  }
  const items = Object.fromEntries(Object.entries(parts).map(([part, list]) => [part, list.length]));
  return { train: path('train'), dev: path('dev'), test: path('test'), items };
}
