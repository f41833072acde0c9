// Files of verdicts and ratings: one line a judged pair in one order, or a rated answer, by machines and people alike. Reports,
// agreement and scores are made from these lines alone.
import { z } from 'zod';
import { MlitError } from '../native/errors';
import { type Pair, pairVerdicts } from './side-by-side';
import { type LineKind, readSyncedLines, SyncedLines } from './synced-lines';

const name = z.string().min(1);
const hash = z.string().regex(/^[0-9a-f]{8,64}$/, 'a hash in hexadecimal');
const time = z.iso.datetime({ offset: true, message: 'a time such as 2026-01-31T12:00:00Z' });

/** How a judge may answer: `forced` to choose one, or allowed to call it a `tie`. */
export const JUDGE_PROTOCOLS = ['forced', 'tie'] as const;

/** `forced` or `tie`: whether a judge has to choose. */
export type JudgeProtocol = (typeof JUDGE_PROTOCOLS)[number];

/** What a judged answer is an answer to. */
const place = {
  /** The record's id. */
  id: name,
  /** `parallel_id`, or the record's id: the unit of the bootstrap. */
  item: name,
  /** Language of the prompt. */
  lang: name,
  /** Number of the sample, from 0. */
  sample: z.int().min(0),
};

export const verdictSchema = z.strictObject({
  /** `openai:MODEL@HOST`, `local:MODEL`, `person:NAME`. */
  judge: name,
  protocol: z.enum(JUDGE_PROTOCOLS),
  /** Names of the two models, wherever the judge saw them. */
  a: name,
  b: name,
  ...place,
  /** Which model's answer the judge read first. */
  order: z.enum(['AB', 'BA']),
  /** The better model; null where the answer was out of form, which is no tie. */
  verdict: z.enum(['A', 'B', 'tie']).nullable(),
  /** Why it is null. */
  reason: z.string().optional(),
  /** What the endpoint said that it was, in this very response. */
  model: z.string().optional(),
  /** The two texts are the same: a tie, and nobody was asked. */
  identical: z.literal(true).optional(),
  /** Version of the wording that a machine was asked by. Verdicts of two wordings are not of one judge. */
  wording: hash.optional(),
  /** Of judge, wording, prompt and both responses in their order: who is asked the same again has the answer here. */
  key: hash.optional(),
  /** Tokens that the endpoint charged for, prompt and answer. */
  tokens: z.int().min(0).optional(),
  at: time,
});

/** A line of verdicts.jsonl: one pair of answers as one judge saw it in one order. */
export type VerdictLine = z.output<typeof verdictSchema>;

/** The six facets of `facets-0-2`, 0 to 2 points each. */
export const FACETS = [
  'language',
  'fluency',
  'helpfulness',
  'accuracy',
  'coherence',
  'harmlessness',
] as const;

const helpfulness = <P extends z.ZodNumber>(points: P) =>
  z.strictObject({ helpfulness: points.min(1).max(6) });

function facets<P extends z.ZodNumber>(points: P) {
  const own = points.min(0).max(2);
  return z.strictObject({
    language: own,
    fluency: own,
    helpfulness: own,
    accuracy: own,
    coherence: own,
    harmlessness: own,
  } satisfies Record<(typeof FACETS)[number], z.ZodType>);
}

/** What is given for an answer, by rubric. */
export const RUBRICS = {
  'excellent-pass-fail': z.strictObject({ grade: z.enum(['excellent', 'pass', 'fail']) }),
  'helpfulness-1-6': helpfulness(z.int()),
  'facets-0-2': facets(z.int()),
} as const;

/** Name of a rubric. */
export type Rubric = keyof typeof RUBRICS;

function ratingOf<R extends Rubric, E extends z.ZodType>(rubric: R, expected: E) {
  return z.strictObject({
    judge: name,
    rubric: z.literal(rubric),
    /** Name of the model whose answer it is. */
    model: name,
    ...place,
    /** null where the answer was out of form. */
    rating: z.nullable(RUBRICS[rubric]),
    reason: z.string().optional(),
    /** The mean of each number over how likely the rater finds it, where that is known; `rating` has the likeliest. */
    expected: expected.optional(),
    /** What the endpoint said that it was. */
    judgeModel: z.string().optional(),
    wording: hash.optional(),
    /** Of judge, wording, prompt and response. */
    key: hash.optional(),
    tokens: z.int().min(0).optional(),
    at: time,
  });
}

export const ratingSchema = z.discriminatedUnion('rubric', [
  ratingOf('excellent-pass-fail', z.never()),
  ratingOf('helpfulness-1-6', helpfulness(z.number())),
  ratingOf('facets-0-2', facets(z.number())),
]);

/** A line of ratings.jsonl: one answer as one judge rated it by one rubric. */
export type RatingLine = z.output<typeof ratingSchema>;

const VERDICTS: LineKind<typeof verdictSchema> = { schema: verdictSchema, name: 'a verdict' };
const RATINGS: LineKind<typeof ratingSchema> = { schema: ratingSchema, name: 'a rating' };

/** Verdicts, as a file holds them. */
export type VerdictFile = SyncedLines<typeof verdictSchema>;
/** Ratings, as a file holds them. */
export type RatingFile = SyncedLines<typeof ratingSchema>;

/**
 * The verdicts of a file; half a line at its end, which somebody may be writing, is passed over.
 *
 * @throws MlitError `FILE_NOT_FOUND`, `FILE_IO`, `DATA_INVALID` with file, line and field
 */
export async function readVerdicts(file: string): Promise<VerdictLine[]> {
  return (await readSyncedLines(file, VERDICTS)).lines.map(({ value }) => value);
}

/** The ratings of a file; as {@link readVerdicts}. */
export async function readRatings(file: string): Promise<RatingLine[]> {
  return (await readSyncedLines(file, RATINGS)).lines.map(({ value }) => value);
}

/** Opens a file of verdicts to append to, with a lock; half a line at its end is cut off. @throws MlitError `STORE_LOCKED`, `DATA_INVALID`, `FILE_IO` */
export function openVerdicts(file: string): Promise<VerdictFile> {
  return SyncedLines.open(file, VERDICTS);
}

/** Opens a file of ratings to append to, with a lock; half a line at its end is cut off. @throws MlitError `STORE_LOCKED`, `DATA_INVALID`, `FILE_IO` */
export function openRatings(file: string): Promise<RatingFile> {
  return SyncedLines.open(file, RATINGS);
}

/** What one judge said of two models. */
export interface VerdictGroup {
  judge: string;
  protocol: JudgeProtocol;
  wording: string | undefined;
  a: string;
  b: string;
  verdicts: VerdictLine[];
}

/** Lines by judge, protocol, wording and models, in the order in which each came first. */
export function groupVerdicts(lines: Iterable<VerdictLine>): VerdictGroup[] {
  const groups = new Map<string, VerdictGroup>();
  for (const line of lines) {
    const { judge, protocol, wording, a, b } = line;
    const key = JSON.stringify([judge, protocol, wording ?? null, a, b]);
    const group = groups.get(key) ?? { judge, protocol, wording, a, b, verdicts: [] };
    groups.set(key, group);
    group.verdicts.push(line);
  }
  return [...groups.values()];
}

/**
 * The pairs of one group, for `sideBySide`, in the order of their first verdict. A pair with one order alone, or with a
 * verdict out of form, has no points.
 *
 * @throws MlitError `DATA_INVALID` where one pair has two verdicts in one order, which names them
 */
export function verdictPairs(group: Pick<VerdictGroup, 'judge' | 'a' | 'b' | 'verdicts'>): Pair[] {
  const { judge, a, b } = group;
  const items = new Map<string, string>();
  const identical = new Set<string>();
  const seen = new Set<string>();
  for (const { id, item, lang, sample, order, identical: same } of group.verdicts) {
    const pair = JSON.stringify([id, lang, sample]);
    const key = `${order}${pair}`;
    if (seen.has(key)) {
      throw new MlitError(
        'DATA_INVALID',
        `verdicts: ${judge} on ${a} and ${b}: record "${id}" in ${lang}, sample ${sample}, has two verdicts in the order ${order}; keep one of the two lines`,
        { fields: { judge, a, b, id, lang, sample, order } },
      );
    }
    seen.add(key);
    items.set(id, item);
    if (same) identical.add(pair);
  }
  // The record's id, not the item: two records of one language may be wordings of one item.
  const pairs = pairVerdicts(
    group.verdicts.map(({ id, lang, sample, order, verdict }) => ({
      item: id,
      lang,
      sample,
      order,
      verdict: verdict ?? undefined,
    })),
  );
  return pairs.map(({ consistent, ...pair }) => ({
    ...pair,
    item: items.get(pair.item) as string,
    ...(consistent !== undefined &&
      !identical.has(JSON.stringify([pair.item, pair.lang, pair.sample])) && { consistent }),
  }));
}

/** The same verdict with the models' names changed about: S of the one is 100 less S of the other. */
export function turnedAbout(line: VerdictLine): VerdictLine {
  const { a, b, verdict, order } = line;
  const turned = verdict === 'A' ? 'B' : verdict === 'B' ? 'A' : verdict;
  return { ...line, a: b, b: a, verdict: turned, order: order === 'AB' ? 'BA' : 'AB' };
}
