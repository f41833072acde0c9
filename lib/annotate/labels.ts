// What people have answered so far, in memory and in the task's folder. Each answer is on the disk before the page hears that it
// was taken; a page that does not know of another window's answer changes nothing.
import { join } from 'node:path';
import { CANNOT_SAY, judgeOfPerson, lastWords, personOfJudge, TAKEN_BACK } from '../eval/people';
import type { Verdict } from '../eval/side-by-side';
import {
  openRatings,
  openVerdicts,
  type RatingFile,
  type RatingLine,
  type VerdictFile,
  type VerdictLine,
} from '../eval/verdicts';
import { foldName, type Turn, turnsFor } from './order';
import type { Label } from './protocol';
import type { AnnotationTask } from './task';

/** Where choices between two answers go, in the task's folder. */
export const VERDICTS_FILE = 'verdicts.jsonl';
/** Where grades go. */
export const RATINGS_FILE = 'ratings.jsonl';

/** An answer in terms of the models, as the lines have it. */
type Word = Verdict | Exclude<Label, 'first' | 'second' | 'tie'>;

interface Person {
  name: string;
  turns: ReadonlyMap<string, Turn>;
  words: Map<string, Word>;
  /** The last write on each question, while it runs. */
  writing: Map<string, Promise<void>>;
}

/** What came of an answer. */
export interface Submitted {
  /** `again`: it was there already. `late`: another window was before, and nothing was written. */
  came: 'new' | 'again' | 'late';
  /** What holds now. */
  label: Label | null;
}

/** The labels of a task. One process at a time has them open. */
export class LabelStore implements AsyncDisposable {
  readonly #task: AnnotationTask;
  readonly #file: VerdictFile | RatingFile;
  readonly #people = new Map<string, Person>();

  private constructor(task: AnnotationTask, file: VerdictFile | RatingFile) {
    this.#task = task;
    this.#file = file;
    for (const line of lastWords(file.before.map(({ value }) => value as VerdictLine | RatingLine)))
      this.#recall(line);
  }

  /**
   * @throws MlitError `STORE_LOCKED` where another process has them open, `DATA_INVALID` for a line that is none, `FILE_IO`
   */
  static async open(folder: string, task: AnnotationTask): Promise<LabelStore> {
    const file =
      task.kind === 'choose'
        ? await openVerdicts(join(folder, VERDICTS_FILE))
        : await openRatings(join(folder, RATINGS_FILE));
    return new LabelStore(task, file);
  }

  /** How a person's name was spelt first; as given where it is new. */
  spelling(name: string): string {
    return this.#people.get(foldName(name))?.name ?? name;
  }

  /** The questions as this person meets them, each with its label so far. */
  questions(name: string): (Turn & { label: Label | null })[] {
    const person = this.#person(name);
    return [...person.turns.values()].map((turn) => ({
      ...turn,
      label: labelOf(person.words.get(turn.key), turn),
    }));
  }

  /**
   * Takes an answer, or takes one back (`label` null). The same again is no second one.
   *
   * @param was what the person saw as the answer so far
   * @returns undefined where there is no such question
   * @throws MlitError `FILE_IO`; then the answer is not taken
   */
  async submit(
    name: string,
    { key, label, was }: { key: string; label: Label | null; was: Label | null },
  ): Promise<Submitted | undefined> {
    const person = this.#person(name);
    const turn = person.turns.get(key);
    if (turn === undefined) return undefined;
    const word = person.words.get(key);
    const now = labelOf(word, turn);
    if (now === label) {
      await person.writing.get(key);
      return { came: 'again', label };
    }
    if (now !== was) return { came: 'late', label: now };
    const next = wordOf(label, turn);
    const put = (value: Word | undefined): void => {
      if (value === undefined) person.words.delete(key);
      else person.words.set(key, value);
    };
    put(next);
    const written = this.#write(person, turn, next).catch((error: unknown) => {
      if (person.words.get(key) === next) put(word);
      throw error;
    });
    person.writing.set(key, written);
    try {
      await written;
    } finally {
      if (person.writing.get(key) === written) person.writing.delete(key);
    }
    return { came: 'new', label };
  }

  /** Waits for what is being written. Idempotent. */
  close(): Promise<void> {
    return this.#file.close();
  }

  /** For `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #person(name: string): Person {
    const folded = foldName(name);
    let person = this.#people.get(folded);
    if (person === undefined) {
      const turns = new Map(turnsFor(this.#task, name).map((turn) => [turn.key, turn]));
      person = { name, turns, words: new Map(), writing: new Map() };
      this.#people.set(folded, person);
    }
    return person;
  }

  #recall(line: VerdictLine | RatingLine): void {
    const name = personOfJudge(line.judge);
    if (name === undefined) return;
    const { words, turns } = this.#person(name);
    const models = this.#task.models.map((model) => model.name);
    for (const [key, { item, model }] of turns) {
      const { id, sample } = this.#task.items[item]!;
      if (id !== line.id || sample !== line.sample) continue;
      if ('rubric' in line) {
        if (line.model !== models[model as number] || line.rubric !== 'excellent-pass-fail') continue;
        words.set(key, line.rating === null ? 'none' : line.rating.grade);
      } else if (line.a === models[0] && line.b === models[1]) words.set(key, line.verdict ?? 'none');
    }
  }

  async #write(person: Person, turn: Turn, word: Word | undefined): Promise<void> {
    const { id, item, lang, sample } = this.#task.items[turn.item]!;
    const models = this.#task.models.map((model) => model.name);
    const judge = judgeOfPerson(person.name);
    const place = { id, item, lang, sample };
    const unsaid = word === undefined ? TAKEN_BACK : word === 'none' ? CANNOT_SAY : undefined;
    const reason = unsaid === undefined ? {} : { reason: unsaid };
    const at = new Date().toISOString();
    if (this.#task.kind === 'choose') {
      const line: VerdictLine = {
        judge,
        protocol: this.#task.ties ? 'tie' : 'forced',
        a: models[0]!,
        b: models[1]!,
        ...place,
        order: turn.swapped ? 'BA' : 'AB',
        verdict: unsaid === undefined ? (word as Verdict) : null,
        ...reason,
        at,
      };
      await (this.#file as VerdictFile).append([line]);
      return;
    }
    const line: RatingLine = {
      judge,
      rubric: 'excellent-pass-fail',
      model: models[turn.model as number]!,
      ...place,
      rating: unsaid === undefined ? { grade: word as 'excellent' | 'pass' | 'fail' } : null,
      ...reason,
      at,
    };
    await (this.#file as RatingFile).append([line]);
  }
}

function labelOf(word: Word | undefined, { swapped }: Turn): Label | null {
  if (word === undefined) return null;
  if (word === 'A') return swapped ? 'second' : 'first';
  if (word === 'B') return swapped ? 'first' : 'second';
  return word;
}

function wordOf(label: Label | null, { swapped }: Turn): Word | undefined {
  if (label === null) return undefined;
  if (label === 'first') return swapped ? 'B' : 'A';
  if (label === 'second') return swapped ? 'A' : 'B';
  return label;
}
