// In which order a person sees what, and on which side: a function of the task's seed and the person's name, so that a page that is
// opened again, on another device too, goes on where it was.
import { createHash } from 'node:crypto';
import { epochOrder } from '../data/order';
import { type AnnotationTask, isIdentical, taskLanguages } from './task';

/** One question: a pair of answers, or one model's answer. */
export interface Question {
  /** Names it to the browser and tells nothing of the models. */
  key: string;
  /** Of the task's items. */
  item: number;
  /** Of the task's models; absent where both answers are shown. */
  model?: number;
}

/** A question as one person meets it. */
export interface Turn extends Question {
  /** The second model's answer stands first. False where there is one answer. */
  swapped: boolean;
}

/** Longest name of a person. */
const LONGEST_NAME = 40;

/** A person's name as it is kept: composed, blanks evened out. Undefined where it is no name. */
export function personName(typed: string): string | undefined {
  const name = typed.normalize('NFC').replace(/\s+/gu, ' ').trim();
  if (name.length > LONGEST_NAME) return undefined;
  return /^[\p{L}\p{N}][\p{L}\p{M}\p{N} ._'’@-]*$/u.test(name) ? name : undefined;
}

/** Names that are the same but for capitals are one person's: a phone writes Ana where a keyboard writes ana. */
export function foldName(name: string): string {
  return name.toLowerCase();
}

/** The questions of a task, in the order of its items. Pairs of one text are none. */
export function questionsOf(task: AnnotationTask): Question[] {
  const key = (...parts: number[]): string =>
    createHash('sha256')
      .update(JSON.stringify([task.hash, 'question', ...parts]))
      .digest('hex')
      .slice(0, 16);
  return task.items.flatMap((item, at): Question[] => {
    if (task.kind === 'rate')
      return item.answers.map((_, model) => ({ key: key(at, model), item: at, model }));
    return isIdentical(item) ? [] : [{ key: key(at), item: at }];
  });
}

/** All questions of a task as `person` meets them: shuffled, and in each language either model first as often, but for an odd one. */
export function turnsFor(task: AnnotationTask, person: string): Turn[] {
  const questions = questionsOf(task);
  const seed = seedOf(task, person);
  const swapped = new Set<Question>();
  for (const [at, lang] of taskLanguages(task).entries()) {
    const own = questions.filter(({ item, model }) => model === undefined && task.items[item]!.lang === lang);
    const odd = epochOrder(2, seed, 2 * at + 1)[0] as number;
    const order = epochOrder(own.length, seed, 2 * at + 2);
    for (const place of order.subarray(0, Math.floor((own.length + odd) / 2))) swapped.add(own[place]!);
  }
  return Array.from(epochOrder(questions.length, seed, 0), (place) => {
    const question = questions[place]!;
    return { ...question, swapped: swapped.has(question) };
  });
}

function seedOf({ seed }: AnnotationTask, person: string): number {
  const digest = createHash('sha256')
    .update(JSON.stringify([seed, foldName(person)]))
    .digest();
  return Number(digest.readBigUInt64BE() >> 11n);
}
