// What a judge has said already, so that nobody pays for the same question twice: verdicts by the hash of everything that was
// asked. The file that they stand in is one of verdicts like any other.
import { join } from 'node:path';
import { cacheDir } from '../../model/cache';
import { MlitError } from '../../native/errors';
import { openVerdicts, type VerdictFile, type VerdictLine } from '../verdicts';
import type { Judge, JudgeQuestion } from './judge';
import { sha256 } from './wording';

/** What a question is known by: judge, wording, prompt, both responses and their order. */
export function questionKey(
  judge: Pick<Judge, 'name' | 'wording'>,
  { turns, first, second }: Omit<JudgeQuestion, 'key'>,
): string {
  const prompt = turns.map(({ role, content }) => [role, content]);
  return sha256(JSON.stringify([judge.name, judge.wording, prompt, first, second])).slice(0, 32);
}

/** The file in this library's cache that a judge's verdicts are kept in where no other is named. */
export function cachedVerdictsFile(judge: Pick<Judge, 'name'>, env: NodeJS.ProcessEnv = process.env): string {
  const name = judge.name.replace(/[^\w.-]+/g, '_').slice(0, 60);
  return join(cacheDir(env), 'verdicts', `${name}-${sha256(judge.name).slice(0, 8)}.jsonl`);
}

/** Verdicts in a file, by what was asked. */
export class VerdictMemory implements AsyncDisposable {
  readonly #file: VerdictFile;
  readonly #named: boolean;
  readonly #byKey = new Map<string, VerdictLine>();
  readonly #byName = new Map<string, { line: VerdictLine; at: number }>();

  private constructor(file: VerdictFile, named: boolean) {
    this.#file = file;
    this.#named = named;
    for (const { value, line } of file.before) this.#keep(value, line);
  }

  /**
   * @param named the file is to have every verdict of a comparison under the models' names, as other programs read it; without,
   * it is a cache in which names mean nothing
   * @throws MlitError `STORE_LOCKED`, `DATA_INVALID`, `FILE_IO`
   */
  static async open(file: string, { named }: { named: boolean }): Promise<VerdictMemory> {
    return new VerdictMemory(await openVerdicts(file), named);
  }

  /** Its path, as it was given. */
  get file(): string {
    return this.#file.file;
  }

  /** Whether every verdict stands in it under its models' names. */
  get named(): boolean {
    return this.#named;
  }

  #keep(line: VerdictLine, at: number): void {
    if (line.key !== undefined) this.#byKey.set(line.key, line);
    if (this.#named) this.#byName.set(nameOf(line), { line, at });
  }

  /** Verdicts of this judge that were asked by another wording of the question, which can't be used. */
  ofOtherWordings({ name, protocol, wording }: Judge): number {
    const others = this.#file.before.filter(
      ({ value }) => value.judge === name && value.protocol === protocol && value.wording !== wording,
    );
    return others.length;
  }

  /**
   * What is known of a question, as a line under the names that `wanted` has; it is in the file under them when `written` resolves.
   *
   * @throws MlitError `DATA_INVALID` where the file has a verdict under these names on other answers
   */
  recall(wanted: Omit<VerdictLine, 'verdict' | 'at'> & { key: string }): VerdictLine | undefined {
    const named = this.#byName.get(nameOf(wanted));
    if (named !== undefined && named.line.key !== wanted.key) {
      const { id, a, b, judge } = wanted;
      throw new MlitError(
        'DATA_INVALID',
        `${this.file}:${named.at}: this verdict of ${judge} on record "${id}" is on other answers of ${a} and ${b} than those given now; name another file by --verdicts, or remove this one`,
        { fields: { file: this.file, line: named.at, id, a, b } },
      );
    }
    const known = named?.line ?? this.#byKey.get(wanted.key);
    if (known === undefined) return undefined;
    const { verdict, reason, model, identical, at } = known;
    return {
      ...wanted,
      verdict: wanted.order === known.order ? verdict : otherSide(verdict),
      ...(reason !== undefined && { reason }),
      ...(model !== undefined && { model }),
      ...(identical && { identical }),
      at,
    };
  }

  /** Whether the file has the verdict under these very names. */
  has(line: VerdictLine): boolean {
    return this.#byName.has(nameOf(line));
  }

  /** On the disk when it resolves. @throws MlitError `FILE_IO` */
  async add(line: VerdictLine): Promise<void> {
    await this.#file.append([line]);
    this.#keep(line, 0);
  }

  /** Idempotent. */
  close(): Promise<void> {
    return this.#file.close();
  }

  /** For `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

function nameOf({
  judge,
  protocol,
  wording,
  a,
  b,
  id,
  lang,
  sample,
  order,
}: Omit<VerdictLine, 'verdict' | 'at'>): string {
  return JSON.stringify([judge, protocol, wording ?? null, a, b, id, lang, sample, order]);
}

/** A key fixes which text came first; under other names, that text may be the other model's. */
function otherSide(verdict: VerdictLine['verdict']): VerdictLine['verdict'] {
  if (verdict === 'A') return 'B';
  return verdict === 'B' ? 'A' : verdict;
}
