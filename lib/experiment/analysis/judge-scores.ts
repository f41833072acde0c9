// Side-by-side scores by models that judge: what an experiment's judgements come to, as cells over the same items as everything else,
// and what has to be said of the judge before anybody believes them.
import { greyByJudge, MIN_CONSISTENCY } from '../../eval/judges/qualification';
import { verdictPairs } from '../../eval/verdicts';
import { printable } from '../../native/untrusted';
import { languageName } from '../../text/language-codes';
import type { StoredJudgement } from '../judgements';
import type { ResultTable } from '../results';
import { CellTable } from './cells';
import type { ScoreTable } from './scores';
import type { Study } from './study';
import { ARM_COLUMN } from './words';

/** What the judges of an experiment said, and what they were to say. */
export interface JudgedModels {
  judgements: readonly StoredJudgement[];
  /** Judgements of the experiment by judge and protocol, those that are open among them. */
  all: readonly { judge: string; protocol: string }[];
}

/** One judge's pairs of one arm in one language, seeds together. */
interface Tally {
  arm: string;
  lang: string;
  wins: number;
  ties: number;
  losses: number;
  /** Without a valid verdict in both orders. */
  leftOut: number;
  /** Judged in two orders, and alike. */
  judged: number;
  alike: number;
}

/** A judge with its score and what it is made of. */
export interface JudgedScore {
  /** `openai:gpt-x@host`, and behind it what it may say where it is not the paper's forced choice. */
  who: string;
  /** Every judgement is finished, and it qualified wherever it judged. */
  isWhole: boolean;
  table: ScoreTable;
  tallies: readonly Tally[];
  warnings: readonly string[];
}

/** One a judge and protocol, in the order of the experiment's file. */
export function judgedScores(study: Study): JudgedScore[] {
  const { judgements, all } = study.judged;
  const named = new Map(all.map((one) => [keyOf(one), one]));
  return [...named.values()].map((judge) => {
    const own = judgements.filter((one) => keyOf(one) === keyOf(judge));
    const missing = all.filter((one) => keyOf(one) === keyOf(judge)).length - own.length;
    const who = judge.protocol === 'forced' ? judge.judge : `${judge.judge} (may tie)`;
    const { table, tallies } = countVerdicts(study, own);
    const warnings = warningsOf(who, { own, missing, table, tallies });
    return { who, isWhole: missing === 0 && table.unqualified.size === 0, table, tallies, warnings };
  });
}

const keyOf = ({ judge, protocol }: { judge: string; protocol: string }): string => `${judge} ${protocol}`;

function countVerdicts(
  study: Study,
  judgements: readonly StoredJudgement[],
): { table: ScoreTable; tallies: Tally[] } {
  const cells = new CellTable({ resamples: study.resamples, most: 100 });
  const unqualified = new Set<string>();
  const tallies = new Map<string, Tally>();
  const places = new Map(study.items.map((item, at) => [item, at]));
  let pairs = 0;
  for (const { a, b, seed, languages, verdicts, qualifications, judge, protocol } of judgements) {
    const wording = verdicts[0]?.wording;
    for (const lang of languages) {
      if (!study.columns(a, lang).size || !study.columns(b, lang).size) continue;
      if (greyByJudge({ judge, protocol, wording }, [lang], qualifications)) unqualified.add(lang);
      const values = new Float64Array(study.items.length);
      const weights = new Float64Array(study.items.length);
      const key = `${a} ${lang}`;
      const tally = tallies.get(key) ?? {
        ...{ arm: a, lang, wins: 0, ties: 0, losses: 0, leftOut: 0, judged: 0, alike: 0 },
      };
      tallies.set(key, tally);
      const own = verdicts.filter((line) => line.lang === lang);
      for (const { item, points, consistent } of verdictPairs({ judge, a, b, verdicts: own })) {
        const at = places.get(item);
        if (at === undefined) continue;
        if (points === undefined) {
          tally.leftOut += 1;
          continue;
        }
        values[at]! += 100 * points;
        weights[at]! += 1;
        pairs += 1;
        tally[points === 1 ? 'wins' : points === 0 ? 'losses' : 'ties'] += 1;
        if (consistent !== undefined) tally.judged += 1;
        if (consistent) tally.alike += 1;
      }
      cells.add(a, lang, seed, { values, weights });
    }
  }
  const table = { cells, pairs, farTies: 0, far: new Map<string, number>(), unqualified };
  return { table, tallies: [...tallies.values()] };
}

/** How an arm's score came about: what is left out and how far that could move it, ties, and whether order mattered. */
export function judgedTable(
  study: Study,
  { id, title }: { id: string; title: string },
  { table, tallies }: JudgedScore,
): ResultTable {
  return {
    id,
    title: `${title}: what it is made of`,
    caption: `S over all prompts that the arm is judged on, with its two worst cases: what it would be if the arm had lost, or won, every pair that was left out for want of a valid verdict in both orders. Ties are pairs that came out differently in the two orders, texts that are the same, and, where the judge may say so, ties by its word. A judge that goes by the place of an answer gives few pairs the same verdict in both orders. Languages and seeds together; n counts pairs.`,
    columns: [
      ARM_COLUMN,
      { key: 'score', label: 'S', kind: 'number', unit: 'points', better: 'higher' },
      { key: 'bounds', label: 'worst cases', kind: 'text' },
      { key: 'verdicts', label: 'won / tie / lost', kind: 'text' },
      { key: 'leftOut', label: 'left out', kind: 'text' },
      { key: 'tieRate', label: 'ties', kind: 'text' },
      { key: 'consistency', label: 'same verdict in both orders', kind: 'text' },
    ],
    rows: study.arms.flatMap(({ id: arm, label }) => {
      const own = tallies.filter((tally) => tally.arm === arm);
      if (own.length === 0) return [];
      const sum = (of: keyof Omit<Tally, 'arm' | 'lang'>): number =>
        own.reduce((total, tally) => total + tally[of], 0);
      const [wins, ties, losses, leftOut] = [sum('wins'), sum('ties'), sum('losses'), sum('leftOut')];
      const pairs = wins + ties + losses;
      const points = wins + ties / 2;
      const bound = (won: number): string => ((100 * (points + won)) / (pairs + leftOut)).toFixed(1);
      const grey = own.some(({ lang }) => table.unqualified.has(lang));
      const score = { value: (100 * points) / pairs, n: pairs, ...(grey && { grey }) };
      return {
        arm: label,
        score: pairs === 0 ? null : score,
        bounds: `${bound(0)} to ${bound(leftOut)}`,
        verdicts: `${wins} / ${ties} / ${losses}`,
        leftOut: String(leftOut),
        tieRate: share(ties, pairs),
        consistency: share(sum('alike'), sum('judged')),
      };
    }),
  };
}

const share = (part: number, whole: number): string =>
  whole === 0 ? 'n/a' : `${((100 * part) / whole).toFixed(1)} % of ${whole}`;

function warningsOf(
  who: string,
  {
    own,
    missing,
    table,
    tallies,
  }: Pick<JudgedScore, 'table' | 'tallies'> & { own: readonly StoredJudgement[]; missing: number },
): string[] {
  const name = code(who);
  const lines = own.flatMap(({ verdicts }) => verdicts);
  const outOfForm = counts(
    lines.flatMap(({ verdict, reason = 'out of form' }) => (verdict === null ? [reason] : [])),
  );
  const models = counts(lines.flatMap(({ model }) => (model === undefined ? [] : [model])));
  const asked = lines.filter(({ identical }) => !identical).length;
  const [judged, alike] = [sumOf(tallies, 'judged'), sumOf(tallies, 'alike')];
  const grey = [...table.unqualified].sort();
  return [
    ...(missing > 0
      ? [
          `${name}: ${missing} of ${missing + own.length} judgements are not finished and left out; the same command goes on.`,
        ]
      : []),
    ...(grey.length > 0
      ? [
          `${name} did not qualify on planted pairs in ${grey.map((lang) => `${languageName(lang)} (${lang})`).join(', ')}, or was not tried there: its numbers there are grey.`,
        ]
      : []),
    ...(outOfForm.size > 0
      ? [
          `${name}: ${total(outOfForm)} of ${asked} answers were out of form (${list(outOfForm)}), which is no tie: ${sumOf(tallies, 'leftOut')} pairs are left out.`,
        ]
      : []),
    ...(models.size > 1
      ? [`${name} answered as ${list(models)}: verdicts of several models are in one number.`]
      : []),
    ...(judged > 0 && alike / judged < MIN_CONSISTENCY
      ? [
          `${name} gave the same verdict in both orders in ${Math.round((100 * alike) / judged)} % of the pairs that it was asked about: its scores near 50 are no sign of parity.`,
        ]
      : []),
  ];
}

const sumOf = (tallies: readonly Tally[], of: keyof Omit<Tally, 'arm' | 'lang'>): number =>
  tallies.reduce((sum, tally) => sum + tally[of], 0);

const total = (counted: ReadonlyMap<string, number>): number =>
  [...counted.values()].reduce((sum, count) => sum + count, 0);

function counts(texts: readonly string[]): Map<string, number> {
  const counted = new Map<string, number>();
  for (const text of texts) counted.set(text, (counted.get(text) ?? 0) + 1);
  return counted;
}

const list = (counted: ReadonlyMap<string, number>): string =>
  [...counted].map(([text, count]) => `${code(text)} ${count}`).join(', ');

/** What an endpoint says of itself is shown as text, in Markdown too. */
const code = (text: string): string => `\`${printable(text).replaceAll('`', "'")}\``;
