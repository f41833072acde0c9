// What planted pairs say of a judge, by language, and where it is kept: a line a language beside the verdicts, so that tables
// and reports know whom to believe without asking again.
import { z } from 'zod';
import { pairPoints } from '../side-by-side';
import type { Estimate } from '../statistics/estimate';
import { wilson } from '../statistics/proportions';
import { besideFile, type LineKind, readSyncedLines, SyncedLines } from '../synced-lines';
import { JUDGE_PROTOCOLS, type VerdictLine } from '../verdicts';

/** What stands against the reference: another item's, another language's, half of it, nothing. */
export const PLANTED_KINDS = ['shuffled', 'wrong-language', 'cut', 'empty'] as const;

/** One of {@link PLANTED_KINDS}. */
export type PlantedKind = (typeof PLANTED_KINDS)[number];

/** Share of verdicts for the reference, and of pairs judged alike in both orders, under which a judge is not believed. */
export const MIN_ACCURACY = 0.8;
export const MIN_CONSISTENCY = 0.6;

const estimate = z.strictObject({
  value: z.number(),
  low: z.number().exactOptional(),
  high: z.number().exactOptional(),
  n: z.int().min(0),
}) satisfies z.ZodType<Estimate>;

const qualificationSchema = z.strictObject({
  judge: z.string().min(1),
  protocol: z.enum(JUDGE_PROTOCOLS),
  wording: z.string().min(1),
  lang: z.string().min(1),
  /** Planted pairs. */
  pairs: z.int().min(1),
  /**
   * Share of verdicts that are for the reference; a tie, or an answer out of form, is not. The interval takes each pair for one, its
   * two orders being no two observations.
   */
  accuracy: estimate,
  /** Share of pairs with the same verdict in both orders, of those with two; absent where none has. */
  consistency: estimate.optional(),
  /** Answers out of form. */
  outOfForm: z.int().min(0),
  /** Accuracy by kind of planted answer. */
  byKind: z.partialRecord(z.enum(PLANTED_KINDS), estimate),
  /** Whether both reach their thresholds. */
  qualified: z.boolean(),
  at: z.iso.datetime({ offset: true }),
});

/** A judge's qualification in one language: a line of a `.qualifications.jsonl`. */
export type Qualification = z.output<typeof qualificationSchema>;

const QUALIFICATIONS: LineKind<typeof qualificationSchema> = {
  schema: qualificationSchema,
  name: 'a qualification',
};

/** What planted verdicts come to; `A` is the reference in all of them. */
export function qualificationOf(
  planted: readonly { kind: PlantedKind; verdicts: readonly [VerdictLine, VerdictLine] }[],
): Omit<Qualification, 'lang'> {
  const [{ judge, protocol, wording = '' }] = planted[0]!.verdicts;
  const all = planted.flatMap(({ verdicts }) => verdicts);
  const judged = planted.flatMap(({ verdicts: [first, second] }) => {
    const points = pairPoints(first.verdict ?? undefined, second.verdict ?? undefined);
    return points === undefined ? [] : [first.verdict === second.verdict];
  });
  const accuracy = accuracyOf(planted);
  const consistency = judged.length > 0 ? wilson(judged.filter(Boolean).length, judged.length) : undefined;
  const kinds = PLANTED_KINDS.flatMap((kind) => {
    const own = planted.filter((one) => one.kind === kind);
    return own.length === 0 ? [] : [[kind, accuracyOf(own)] as const];
  });
  return {
    judge,
    protocol,
    wording,
    pairs: planted.length,
    accuracy,
    ...(consistency !== undefined && { consistency }),
    outOfForm: all.filter(({ verdict }) => verdict === null).length,
    byKind: Object.fromEntries(kinds),
    qualified: accuracy.value >= MIN_ACCURACY && (consistency?.value ?? 0) >= MIN_CONSISTENCY,
    at: new Date().toISOString(),
  };
}

function accuracyOf(planted: readonly { verdicts: readonly [VerdictLine, VerdictLine] }[]): Estimate {
  const right = planted.flatMap(({ verdicts }) => verdicts).filter(({ verdict }) => verdict === 'A').length;
  return wilson(right / 2, planted.length);
}

/** Where the qualifications of a file of verdicts are. */
export function qualificationsFile(verdicts: string): string {
  return besideFile(verdicts, 'qualifications');
}

/** Adds lines to the qualifications beside a file of verdicts. @throws MlitError `STORE_LOCKED`, `FILE_IO` */
export async function storeQualifications(verdicts: string, lines: readonly Qualification[]): Promise<void> {
  await using file = await SyncedLines.open(qualificationsFile(verdicts), QUALIFICATIONS);
  await file.append(lines);
}

/**
 * The qualifications beside a file of verdicts: the last line of each judge, protocol, wording and language.
 *
 * @throws MlitError `FILE_NOT_FOUND` where none was stored; `DATA_INVALID`
 */
export async function readQualifications(verdicts: string): Promise<Qualification[]> {
  return lastQualifications(await readQualificationLines(qualificationsFile(verdicts)));
}

/** Every line of a file of qualifications; as {@link readQualifications}. */
export async function readQualificationLines(file: string): Promise<Qualification[]> {
  return (await readSyncedLines(file, QUALIFICATIONS)).lines.map(({ value }) => value);
}

/** The last line of each judge, protocol, wording and language. */
export function lastQualifications(lines: readonly Qualification[]): Qualification[] {
  const last = new Map<string, Qualification>();
  for (const line of lines) {
    const { judge, protocol, wording, lang } = line;
    last.set(JSON.stringify([judge, protocol, wording, lang]), line);
  }
  return [...last.values()];
}

/**
 * Whether a number over these languages by a judge is not to be relied upon, as `grey` of a table's cell says it: the judge did not
 * qualify in one of them, or was not tried there.
 */
export function greyByJudge(
  judge: { judge: string; protocol: string; wording?: string | undefined },
  languages: readonly string[],
  qualifications: readonly Qualification[],
): boolean {
  return !languages.every((lang) =>
    qualifications.some(
      (one) =>
        one.lang === lang &&
        one.judge === judge.judge &&
        one.protocol === judge.protocol &&
        one.wording === judge.wording &&
        one.qualified,
    ),
  );
}
