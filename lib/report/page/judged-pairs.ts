// Verdicts of judges, joined to the models of a report by name: an experiment's model is called by its arm, and by its arm and seed
// where the arm has several.
import { personOfJudge } from '../../eval/people';
import { pairPoints } from '../../eval/side-by-side';
import { groupVerdicts, type VerdictGroup, type VerdictLine } from '../../eval/verdicts';
import type { AnsweringModel, StoredAnswers } from '../../experiment/answers';
import { PAIR_VERDICTS } from './answer-data';
import { type JudgedPair, promptKey } from './answer-packer';

/** What the verdicts of a report come to. */
export interface JudgedPairs {
  pairs: JudgedPair[];
  /** Those that are not on two models of the report. */
  strangers: Pick<VerdictGroup, 'judge' | 'a' | 'b'>[];
}

/** Of a prompt that was answered several times, verdicts on the first answers count, as in the tables. */
export function judgedPairs(
  models: readonly Pick<AnsweringModel, 'arm' | 'seed'>[],
  lines: Iterable<VerdictLine>,
): JudgedPairs {
  const judged: JudgedPairs = { pairs: [], strangers: [] };
  for (const { judge, protocol, a, b, verdicts } of groupVerdicts(lines)) {
    const [left, right] = [placeOf(models, a), placeOf(models, b)];
    if (left === undefined || right === undefined) judged.strangers.push({ judge, a, b });
    else
      judged.pairs.push({
        judge,
        protocol,
        a: left,
        b: right,
        verdicts: wordsOf(verdicts, personOfJudge(judge) !== undefined),
      });
  }
  return judged;
}

/** Those of the experiment's own judges, and others that do not say the same again. */
export function allVerdicts(
  stored: Pick<StoredAnswers, 'verdicts'> | undefined,
  others: readonly VerdictLine[],
): VerdictLine[] {
  const own = stored?.verdicts ?? [];
  const nameOf = ({ judge, protocol, wording, a, b, id, lang, sample, order }: VerdictLine): string =>
    JSON.stringify([judge, protocol, wording, a, b, id, lang, sample, order]);
  const known = new Set(own.map(nameOf));
  return [...own, ...others.filter((line) => !known.has(nameOf(line)))];
}

/** The model that is meant by `ARM` or `ARM/SEED`. */
function placeOf(models: readonly Pick<AnsweringModel, 'arm' | 'seed'>[], name: string): number | undefined {
  const named = models.flatMap(({ arm, seed }, at) =>
    name === arm || name === `${arm}/${seed}` ? [at] : [],
  );
  return named.length === 1 ? named[0] : undefined;
}

/** @param isPerson who sees each pair once: one order is enough */
function wordsOf(verdicts: readonly VerdictLine[], isPerson: boolean): Map<string, number> {
  const orders = new Map<string, Partial<Record<VerdictLine['order'], VerdictLine['verdict']>>>();
  for (const { id, lang, sample, order, verdict } of verdicts) {
    if (sample !== 0) continue;
    const key = promptKey(id, lang);
    orders.set(key, isPerson ? { AB: verdict, BA: verdict } : { ...orders.get(key), [order]: verdict });
  }
  return new Map([...orders].map(([key, { AB, BA }]) => [key, PAIR_VERDICTS.indexOf(wordOf(AB, BA))]));
}

function wordOf(
  first: VerdictLine['verdict'] | undefined,
  second: VerdictLine['verdict'] | undefined,
): (typeof PAIR_VERDICTS)[number] {
  if (first === null || second === null) return 'invalid';
  const points = pairPoints(first, second);
  return points === undefined ? 'none' : points === 1 ? 'A' : points === 0 ? 'B' : 'tie';
}
