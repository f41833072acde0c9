// What people said, out of lines that only ever grow: a person may change an answer or take it back, so the last line counts; and
// sees each pair once, in one order, so one order is enough.
import type { Choice } from './agreement';
import type { GradedAnswer } from './grades';
import { type Pair, type PairVerdict, pairPoints, type Verdict } from './side-by-side';
import type { RatingLine, VerdictLine } from './verdicts';

/** What a person's line says in `reason` where it has no verdict or rating. */
export const CANNOT_SAY = 'cannot say';
/** The line takes the one before it back: as if the person had never been asked. */
export const TAKEN_BACK = 'taken back';

const PREFIX = 'person:';

/** `Ana` → `person:Ana`, as lines name a person. */
export function judgeOfPerson(person: string): string {
  return `${PREFIX}${person}`;
}

/** The name of a person, undefined for a machine. */
export function personOfJudge(judge: string): string | undefined {
  return judge.startsWith(PREFIX) ? judge.slice(PREFIX.length) : undefined;
}

/**
 * Of people's lines each one's last on a pair or an answer, without those taken back; machines' lines as they are. In the order
 * of the first line on each.
 */
export function lastWords<Line extends VerdictLine | RatingLine>(lines: Iterable<Line>): Line[] {
  const kept = new Map<string, Line>();
  for (const line of lines) {
    if (personOfJudge(line.judge) === undefined) kept.set(`machine ${kept.size}`, line);
    else kept.set(questionOf(line), line);
  }
  return [...kept.values()].filter(
    ({ judge, reason }) => personOfJudge(judge) === undefined || reason !== TAKEN_BACK,
  );
}

/** What a person's line answers. */
function questionOf(line: VerdictLine | RatingLine): string {
  const { judge, id, sample } = line;
  const what = 'rubric' in line ? [line.rubric, line.model] : [line.a, line.b];
  return JSON.stringify([judge, id, sample, ...what]);
}

/** A person's pairs, for `sideBySide`: the points of the one order that was seen; none where the person could not say. */
export function personPairs(lines: Iterable<VerdictLine>): Pair[] {
  return Array.from(lines, ({ item, lang, sample, verdict }) => {
    const points = pairPoints(verdict ?? undefined, verdict ?? undefined);
    return { item, lang, sample, ...(points !== undefined && { points }) };
  });
}

/** A person's choices, without those that could not be made. */
export function personChoices(lines: Iterable<VerdictLine>): Choice[] {
  return [...lines].flatMap(({ id, item, lang, sample, verdict }) =>
    verdict === null ? [] : [{ id, item, lang, sample, verdict }],
  );
}

/** A machine's choices: what both orders come to, a tie where they differ. A pair without a valid verdict in both is left out. */
export function machineChoices(lines: Iterable<VerdictLine>): { choices: Choice[]; leftOut: number } {
  const byPair = new Map<string, Partial<Record<PairVerdict['order'], VerdictLine>>>();
  for (const line of lines) {
    const key = JSON.stringify([line.id, line.sample]);
    byPair.set(key, { ...byPair.get(key), [line.order]: line });
  }
  const choices = [...byPair.values()].flatMap(({ AB, BA }): Choice[] => {
    const points = pairPoints(AB?.verdict ?? undefined, BA?.verdict ?? undefined);
    if (points === undefined) return [];
    const { id, item, lang, sample } = AB as VerdictLine;
    return [{ id, item, lang, sample, verdict: VERDICT_OF.get(points) as Verdict }];
  });
  return { choices, leftOut: byPair.size - choices.length };
}

const VERDICT_OF: ReadonlyMap<number, Verdict> = new Map([
  [1, 'A'],
  [0.5, 'tie'],
  [0, 'B'],
]);

/** Grades of lines by the rubric `excellent-pass-fail`, without those that could not be given. */
export function gradesOf(lines: Iterable<RatingLine>): (GradedAnswer & { id: string; sample: number })[] {
  return [...lines].flatMap((line) =>
    line.rubric === 'excellent-pass-fail' && line.rating !== null
      ? [
          {
            model: line.model,
            id: line.id,
            item: line.item,
            lang: line.lang,
            sample: line.sample,
            grade: line.rating.grade,
          },
        ]
      : [],
  );
}
