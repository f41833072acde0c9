// What is measured must not have been trained on, in any language: items are held out with all their translations, and with
// every item that is the same question under another name.

import { MlitError } from '../native/errors';
import { refuseUnknownOptions } from '../text/options';
import { findNearDuplicates, MIN_NEAR, nearPairs, normalizeText, promptOf, responseOf } from './duplicates';
import type { Example } from './example';
import { epochOrder } from './order';
import { isNamedByPlace } from './read';

/** The item of a record: its `parallel_id`; a record without one is an item of its own. */
export function itemOf(example: Example): string {
  return example.parallelId ?? example.id;
}

/** When two items count as the same question. */
export interface GroupOptions {
  /**
   * What makes two items one. `prompt`: the same question in one language. `response`: the same answer, right where answers
   * name things (emoji and their names, a flag and its territory), wrong where many questions are answered by "Yes".
   * `both`: either. Default `prompt`.
   */
  by?: 'prompt' | 'response' | 'both';
  /** Also prompts with the same emoji in them (tone, sex and presentation aside), whatever their wording and language. Default false. */
  emoji?: boolean;
  /** Also prompts of at least this similarity (see findNearDuplicates); 0: only equal ones. Default 0. */
  near?: number;
}

/**
 * Items joined where, in any one language, their normalised texts are equal; joined items join their others' too. Groups are
 * sorted lists of items, themselves sorted: a function of the set of records, not of its order.
 */
export function groupItems(examples: Iterable<Example>, options: GroupOptions = {}): string[][] {
  refuseUnknownOptions('groupItems', options, { by: true, emoji: true, near: true });
  const { by = 'prompt', emoji = false, near = 0 } = options;
  const items = new DisjointSets();
  const firstWith = new Map<string, string>();
  const prompts = new Map<string, Map<string, string>>();
  for (const example of examples) {
    const item = itemOf(example);
    items.add(item);
    const prompt = normalizeText(promptOf(example));
    const marks: string[] = [];
    if (by !== 'response') marks.push(`p ${example.lang} ${prompt}`);
    if (by !== 'prompt') marks.push(`r ${example.lang} ${normalizeText(responseOf(example))}`);
    if (emoji) marks.push(`e ${emojiOf(prompt)}`);
    for (const mark of marks) {
      if (mark.endsWith(' ')) continue;
      const first = firstWith.get(mark);
      if (first === undefined) firstWith.set(mark, item);
      else items.join(first, item);
    }
    if (near > 0 && prompt !== '') {
      const ofLanguage = prompts.get(example.lang) ?? new Map<string, string>();
      prompts.set(example.lang, ofLanguage);
      if (!ofLanguage.has(prompt)) ofLanguage.set(prompt, item);
      else items.join(ofLanguage.get(prompt) as string, item);
    }
  }
  for (const ofLanguage of prompts.values()) joinNear(ofLanguage, near, items);
  return items.groups();
}

function joinNear(itemOfPrompt: ReadonlyMap<string, string>, near: number, items: DisjointSets): void {
  const texts = [...itemOfPrompt.keys()];
  for (const { a, b } of nearPairs(texts, texts, near)) {
    if (a < b)
      items.join(
        itemOfPrompt.get(texts[a] as string) as string,
        itemOfPrompt.get(texts[b] as string) as string,
      );
  }
}

/** The emoji of a normalised text, in order. */
function emojiOf(prompt: string): string {
  const found = prompt.match(/\p{Regional_Indicator}{2}|\p{Extended_Pictographic}[\u{E0020}-\u{E007F}]*/gu);
  return (found ?? []).join('');
}

/** Union–find over names. */
class DisjointSets {
  readonly #parent = new Map<string, string>();

  add(name: string): void {
    if (!this.#parent.has(name)) this.#parent.set(name, name);
  }

  join(a: string, b: string): void {
    this.#parent.set(this.#find(a), this.#find(b));
  }

  groups(): string[][] {
    const groups = new Map<string, string[]>();
    for (const name of [...this.#parent.keys()].sort()) {
      const root = this.#find(name);
      const group = groups.get(root);
      if (group === undefined) groups.set(root, [name]);
      else group.push(name);
    }
    return [...groups.values()];
  }

  #find(name: string): string {
    let at = name;
    for (let next = this.#parent.get(at) as string; next !== at; next = this.#parent.get(at) as string) {
      this.#parent.set(at, this.#parent.get(next) as string);
      at = next;
    }
    return at;
  }
}

/** How many items are held out, by which seed. */
export interface HoldOutOptions extends GroupOptions {
  /** Items to hold out: each counts once, whatever number of languages it has. */
  items: number;
  /** Default 0. */
  seed?: number;
}

/** What is left to train on, and what is held out. */
export interface HeldOut {
  train: Example[];
  heldOut: Example[];
}

const HOLD_OUT_EPOCH = 0x686f6c64;

/**
 * Holds out exactly so many items, in all their languages and in whole groups: groups come in an order that seed and items
 * decide, and one that no longer fits is trained on. Both parts keep the records' order.
 *
 * @throws RangeError for a number that leaves nothing to train on; MlitError `DATA_INVALID` where whole groups can't make up
 * the number
 */
export function splitHoldOut(examples: readonly Example[], options: HoldOutOptions): HeldOut {
  refuseUnknownOptions('splitHoldOut', options, {
    items: true,
    seed: true,
    by: true,
    emoji: true,
    near: true,
  });
  const { items, seed = 0, ...grouping } = options;
  if (!Number.isInteger(items) || items < 0)
    throw new RangeError(`items: expected a whole number from 0, got ${items}`);
  const groups = groupItems(examples, grouping);
  const all = groups.reduce((sum, group) => sum + group.length, 0);
  if (items > 0 && items >= all)
    throw new RangeError(`items: ${items} are to be held out, but there are ${all} in all; hold out fewer`);
  const chosen = new Set<string>();
  for (const at of epochOrder(groups.length, seed, HOLD_OUT_EPOCH)) {
    const group = groups[at] as string[];
    if (chosen.size + group.length <= items) for (const item of group) chosen.add(item);
  }
  if (chosen.size < items) {
    throw new MlitError(
      'DATA_INVALID',
      `hold-out: ${items} items can't be made up of whole groups of equal items; ${chosen.size} can with this seed (the largest of ${groups.length} groups has ${Math.max(...groups.map((group) => group.length))} of ${all} items); hold out ${chosen.size}, or group by less`,
      { fields: { items, possible: chosen.size, groups: groups.length } },
    );
  }
  return {
    train: examples.filter((example) => !chosen.has(itemOf(example))),
    heldOut: examples.filter((example) => chosen.has(itemOf(example))),
  };
}

/** From surely the same to probably the same. */
export type LeakKind = 'id' | 'parallel_id' | 'prompt' | 'near-duplicate';

/** A record of an evaluation that training has seen, and how. */
export interface Leak {
  kind: LeakKind;
  /** Ids of the two records; of several in training, the first, one in the same language before others. */
  train: string;
  evaluation: string;
  /** Language of the evaluation's record. */
  lang: string;
  /** Of a near-duplicate. */
  similarity?: number;
}

/** What identifies records, and what only tells that they look alike. */
const STRENGTH = { id: 0, parallel_id: 1, prompt: 3, 'near-duplicate': 4 } as const satisfies Record<
  LeakKind,
  number
>;

/**
 * Records of an evaluation that training has seen, one leak a record: the surest kind there is. Records that have no id of
 * their own are the same only where file and line are. A pass over `train`, which may be large; the evaluation is kept.
 *
 * @param options.texts whether prompts are compared at all. Default true
 * @param options.near similarity from which prompts are near-duplicates; 0 leaves them out. Default 0.8
 */
export function findLeaks(
  train: readonly Example[],
  evaluation: readonly Example[],
  options: { texts?: boolean; near?: number } = {},
): Leak[] {
  refuseUnknownOptions('findLeaks', options, { texts: true, near: true });
  const { texts = true, near = MIN_NEAR } = options;
  const byName = indexBy(evaluation, nameOf);
  const byItem = indexBy(evaluation, itemNameOf);
  const prompts = texts ? evaluation.map(comparedPrompt) : [];
  const byPrompt = indexBy(texts ? evaluation : [], (_, at) => prompts[at]);
  const leaks: (Leak | undefined)[] = evaluation.map(() => undefined);
  const strengths = evaluation.map(() => Number.POSITIVE_INFINITY);
  const offer = (kind: LeakKind, example: Example, found: readonly number[] = []): void => {
    for (const at of found) {
      const { id, lang } = evaluation[at]!;
      const strength = STRENGTH[kind] + (kind === 'parallel_id' && example.lang !== lang ? 1 : 0);
      if (strength >= strengths[at]!) continue;
      strengths[at] = strength;
      leaks[at] = { kind, train: example.id, evaluation: id, lang };
    }
  };
  const trainPrompts: (string | undefined)[] = [];
  for (const example of train) {
    offer('id', example, byName.get(nameOf(example)));
    offer('parallel_id', example, byItem.get(itemNameOf(example)));
    if (!texts) continue;
    const prompt = comparedPrompt(example);
    if (prompt !== undefined) offer('prompt', example, byPrompt.get(prompt));
    if (near > 0) trainPrompts.push(prompt);
  }
  if (texts && near > 0) addNear({ train, trainPrompts, evaluation, prompts, near }, leaks);
  return leaks.filter((leak) => leak !== undefined);
}

interface PromptLists {
  train: readonly Example[];
  trainPrompts: readonly (string | undefined)[];
  evaluation: readonly Example[];
  prompts: readonly (string | undefined)[];
  near: number;
}

/** Looks for near-duplicates of what has not leaked otherwise, a language at a time. */
function addNear(lists: PromptLists, leaks: (Leak | undefined)[]): void {
  const { train, trainPrompts, evaluation, prompts, near } = lists;
  const open = evaluation
    .map((_, at) => at)
    .filter((at) => leaks[at] === undefined && prompts[at] !== undefined);
  for (const lang of new Set(open.map((at) => evaluation[at]!.lang))) {
    const theirs = open.filter((at) => evaluation[at]!.lang === lang);
    const ours = train
      .map((_, at) => at)
      .filter((at) => train[at]!.lang === lang && trainPrompts[at] !== undefined);
    const pairs = findNearDuplicates(
      ours.map((at) => trainPrompts[at]!.slice(lang.length + 1)),
      theirs.map((at) => prompts[at]!.slice(lang.length + 1)),
      near,
    );
    for (const { a, b, similarity } of pairs) {
      const at = theirs[b]!;
      const evaluated = evaluation[at]!.id;
      leaks[at] = {
        kind: 'near-duplicate',
        train: train[ours[a]!]!.id,
        evaluation: evaluated,
        lang,
        similarity,
      };
    }
  }
}

const nameOf = (example: Example): string =>
  isNamedByPlace(example) ? `\0${example.source.file}:${example.source.line}` : example.id;

const itemNameOf = (example: Example): string => example.parallelId ?? nameOf(example);

/** Language and normalised prompt; undefined where there is nothing to compare. */
function comparedPrompt(example: Example): string | undefined {
  const prompt = normalizeText(promptOf(example));
  return prompt === '' ? undefined : `${example.lang} ${prompt}`;
}

/** Places of records by name. */
function indexBy(
  examples: readonly Example[],
  name: (example: Example, at: number) => string | undefined,
): Map<string, number[]> {
  const index = new Map<string, number[]>();
  for (const [at, example] of examples.entries()) {
    const key = name(example, at);
    if (key === undefined) continue;
    const places = index.get(key);
    if (places === undefined) index.set(key, [at]);
    else places.push(at);
  }
  return index;
}

/**
 * Refuses an evaluation that shares records or items with the training set; equal and similar texts are for the report.
 *
 * @throws MlitError `DATA_INVALID` with the number of shared records by language and the first few
 */
export function refuseLeaks(train: readonly Example[], evaluation: readonly Example[]): void {
  const leaks = findLeaks(train, evaluation, { texts: false });
  if (leaks.length === 0) return;
  const counts = new Map<string, number>();
  for (const { lang } of leaks) counts.set(lang, (counts.get(lang) ?? 0) + 1);
  const [first] = leaks as [Leak];
  const what = first.kind === 'id' ? 'the id' : 'the item (parallel_id)';
  throw new MlitError(
    'DATA_INVALID',
    `evaluation: ${leaks.length} of ${evaluation.length} records are trained on (${[...counts].map(([lang, n]) => `${lang} ${n}`).join(', ')}); the first is "${first.evaluation}", which shares ${what} with "${first.train}". Hold items out in all languages`,
    { fields: { leaks: leaks.length, evaluation: first.evaluation, train: first.train, kind: first.kind } },
  );
}
