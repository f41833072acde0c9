// The open-ended run's data: people's instructions in English with answers of any length, to train on, and what other public sets have in
// six more languages, of which a pinch is taken. The sets are fetched by whoever runs the study; they are no part of it.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Set → the languages that are taken from it, to train on. English comes from one set alone, so that the arms differ by the pinch only. */
export const TRAINING = {
  'train-oasst.jsonl': ['en', 'fi'],
  'train-llamafactory-demo.jsonl': ['zh'],
  'train-seed-tasks.jsonl': ['et', 'ru'],
  'train-afriqa.jsonl': ['sw'],
  'train-mgsm-exemplars.jsonl': ['es'],
};
/** Prompts without references: questions of fact in twelve languages, and open questions in six. */
export const PROMPTS = { multiq: 'eval-multiq.jsonl', vicuna: 'eval-vicuna80.jsonl' };
/** Set → languages in which items of it are asked for their references; as many items as HELD_OUT, none of which is trained on. */
const REFERENCES = {
  'train-oasst.jsonl': ['en', 'fi'],
  'train-seed-tasks.jsonl': ['en', 'et', 'ru'],
  'eval-afriqa.jsonl': ['en', 'sw'],
};
const HELD_OUT = 40;
/** Characters of a prompt and its answer together: longer records are left out, of training and of references. */
export const LONGEST = 1000;

export const FILES = [
  ...new Set([...Object.keys(TRAINING), ...Object.keys(REFERENCES), ...Object.values(PROMPTS)]),
];

/** Where the sets are, or why the study goes without them. @returns {{ folder: string } | { reason: string }} */
export function findSets() {
  const folder = process.env.MLIT_DATA_DIR;
  const missing = FILES.filter((file) => !folder || !existsSync(join(folder, file)));
  if (folder && missing.length === 0) return { folder };
  return {
    reason: `${missing.join(', ')}: not there. MLIT_DATA_DIR names the folder that has them, JSONL with id, lang, instruction, response, parallel_id`,
  };
}

/** Items in an order that is nobody's choice: the ones to hold out come first. */
const byHash = (items) => {
  const key = (item) => createHash('sha256').update(`open ${item}`).digest('hex');
  return items
    .map((item) => [key(item), item])
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([, item]) => item);
};
const itemOf = ({ parallel_id, id }) => parallel_id ?? id;
const fits = ({ instruction, response }) => instruction.length + response.length <= LONGEST;

/** Of one set, the items that are there in all `languages` and short enough in each. */
function itemsIn(records, languages) {
  const has = new Map();
  for (const record of records.filter(fits)) {
    const item = itemOf(record);
    has.set(item, (has.get(item) ?? new Set()).add(record.lang));
  }
  return [...has].filter(([, langs]) => languages.every((lang) => langs.has(lang))).map(([item]) => item);
}

/**
 * Writes train.jsonl, multiq.jsonl, vicuna.jsonl and references.jsonl below `folder`. No item of the references is trained on.
 * @returns {Record<string, string>} their paths by name
 */
export function buildOpen(sets, folder) {
  const read = (file) =>
    readFileSync(join(sets, file), 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
  mkdirSync(folder, { recursive: true });

  const references = [];
  const heldOut = new Set();
  for (const [file, languages] of Object.entries(REFERENCES)) {
    const records = read(file);
    const items = byHash(itemsIn(records, languages)).slice(0, HELD_OUT);
    for (const item of items) heldOut.add(item);
    const taken = new Set(items);
    references.push(
      ...records.filter((record) => taken.has(itemOf(record)) && languages.includes(record.lang)),
    );
  }
  const train = Object.entries(TRAINING).flatMap(([file, languages]) =>
    read(file).filter(
      (record) => languages.includes(record.lang) && fits(record) && !heldOut.has(itemOf(record)),
    ),
  );

  const sources = {
    train,
    references,
    ...Object.fromEntries(Object.entries(PROMPTS).map(([name, file]) => [name, read(file)])),
  };
  return Object.fromEntries(
    Object.entries(sources).map(([name, records]) => {
      const path = join(folder, `${name}.jsonl`);
      const lines = records.map(({ id, lang, parallel_id, instruction, response, source }) =>
        JSON.stringify({
          id,
          lang,
          ...(parallel_id && { parallel_id }),
          instruction,
          ...(response && { response }),
          source,
        }),
      );
      const partial = `${path}.${process.pid}.partial`;
      writeFileSync(partial, `${lines.join('\n')}\n`);
      renameSync(partial, path);
      return [name, path];
    }),
  );
}
