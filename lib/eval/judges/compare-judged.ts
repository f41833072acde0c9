// Two files of answers compared by a model that judges: planted pairs first, by which the judge qualifies or does not, then the
// answers themselves, and both in one result.
import type { Example } from '../../data/example';
import type { Identify } from '../../text/identify';
import { refuseUnknownOptions } from '../../text/options';
import { type ComparedLanguages, type JoinedAnswers, joinAnswers, summariseLanguages } from '../answer-pairs';
import type { AnswerLine } from '../measures/types';
import { type JudgeProtocol, type VerdictLine, verdictPairs } from '../verdicts';
import type { Judge, JudgeSpending } from './judge';
import { type JudgedPairs, type JudgeProgress, judgePairs, promptTurns } from './judge-pairs';
import type { VerdictMemory } from './memory';
import { plantPairs, qualifyJudge } from './planted';
import { greyByJudge, type Qualification } from './qualification';

/** Who judges which answers, and what is known already. */
export interface JudgeAnswersOptions {
  judge: Judge;
  /** The prompts, with reference answers where there are any (read with `need: 'reference'`). */
  prompts: readonly Example[];
  /**
   * Records with reference answers, from which planted pairs are made. Default: `prompts`. Without a reference in a language the
   * judge can't qualify in it.
   */
  references?: readonly Example[] | undefined;
  /** What verdicts call the two models. Default: `A` and `B`. */
  names?: { a: string; b: string } | undefined;
  /** Verdicts of before, and where new ones are kept. Default: nothing is remembered. */
  memory?: VerdictMemory | undefined;
  /** The same for planted pairs. Default: `memory`, unless that is kept under names. */
  plantedMemory?: VerdictMemory | undefined;
  /** Count answers that are on one side only instead of refusing them. Default false. */
  allowMissing?: boolean | undefined;
  /** An answer in the wrong language loses to one in the right language. Default false. */
  gate?: boolean | undefined;
  /** Without it, languages in Latin script are told apart by references alone. */
  identify?: Identify | undefined;
  /** Of the bootstrap. Default 10,000. */
  resamples?: number | undefined;
  /** Of the bootstrap. Default 0. */
  seed?: number | undefined;
  signal?: AbortSignal | undefined;
  /** Told at the start, and with every answer. */
  onProgress?: ((progress: JudgeProgress & { phase: 'qualify' | 'judge' }) => void) | undefined;
}

/** S(A, B) by a judge, and what is known of the judge. */
export interface JudgedComparison extends ComparedLanguages {
  judge: string;
  protocol: JudgeProtocol;
  wording: string;
  names: { a: string; b: string };
  gate: boolean;
  onlyA: number;
  onlyB: number;
  /** One for each language in which planted pairs were judged. */
  qualifications: Qualification[];
  /** Languages in which the judge did not qualify, or was not tried: their numbers are not to be relied upon. */
  unqualified: string[];
  /** How the judging of the answers went, and that of the planted pairs. */
  judging: Omit<JudgedPairs, 'verdicts'>;
  planting: Omit<JudgedPairs, 'verdicts'>;
  spending: JudgeSpending;
}

/**
 * Has a judge compare two sets of answers, after it has faced planted pairs. Where a limit ends it early, the numbers are of what
 * was judged, and `judging.unasked` says how much is missing.
 *
 * @returns the comparison, and the verdicts that it is made of
 * @throws MlitError as `judgePairs` and `compareAnswers`
 */
export async function judgeAnswers(
  a: readonly AnswerLine[],
  b: readonly AnswerLine[],
  options: JudgeAnswersOptions,
): Promise<{ comparison: JudgedComparison; verdicts: VerdictLine[] }> {
  refuseUnknownOptions('judgeAnswers', options, {
    judge: true,
    prompts: true,
    references: true,
    names: true,
    memory: true,
    plantedMemory: true,
    allowMissing: true,
    gate: true,
    identify: true,
    resamples: true,
    seed: true,
    signal: true,
    onProgress: true,
  });
  const { judge, prompts, memory, signal, onProgress, gate = false } = options;
  const names = options.names ?? { a: 'A', b: 'B' };
  const { joined, onlyA, onlyB } = joinAnswers(a, b, prompts, options);
  const languages = [...new Set(joined.map(({ a: { lang } }) => lang))].sort();
  const phase = (name: 'qualify' | 'judge') => ({
    judge,
    signal,
    onProgress: (progress: JudgeProgress): void => onProgress?.({ ...progress, phase: name }),
  });
  const { qualifications, judged: planting } = await qualifyJudge(
    plantPairs(options.references ?? prompts, languages),
    { ...phase('qualify'), memory: options.plantedMemory ?? (memory?.named ? undefined : memory) },
  );
  const turns = new Map(prompts.map((example) => [example.id, promptTurns(example)]));
  const judged = await judgePairs(
    joined.map(({ a: { id, item, lang, sample }, responses }) => ({
      id,
      item,
      lang,
      sample,
      turns: turns.get(id)!,
      ...responses,
    })),
    { ...phase('judge'), names, memory },
  );
  const { verdicts } = judged;
  const compared = summariseLanguages(withPairs(joined, verdicts, judge.name, names), options);
  const isUnqualified = (lang: string): boolean =>
    greyByJudge(
      { judge: judge.name, protocol: judge.protocol, wording: judge.wording },
      [lang],
      qualifications,
    );
  return {
    comparison: {
      judge: judge.name,
      protocol: judge.protocol,
      wording: judge.wording,
      names,
      gate,
      ...compared,
      onlyA,
      onlyB,
      qualifications,
      unqualified: languages.filter(isUnqualified),
      judging: withoutVerdicts(judged),
      planting: withoutVerdicts(planting),
      spending: judge.spending,
    },
    verdicts,
  };
}

/** A pair without a verdict has no points, and is counted among those left out. */
function withPairs(
  joined: readonly JoinedAnswers[],
  verdicts: readonly VerdictLine[],
  judge: string,
  names: { a: string; b: string },
) {
  const byAnswer = new Map<string, VerdictLine[]>();
  for (const line of verdicts) {
    const key = JSON.stringify([line.id, line.sample]);
    byAnswer.set(key, [...(byAnswer.get(key) ?? []), line]);
  }
  return joined.map((one) => {
    const { id, item, lang, sample } = one.a;
    const own = byAnswer.get(JSON.stringify([id, sample])) ?? [];
    const [pair = { item, lang, sample }] = verdictPairs({ judge, ...names, verdicts: own });
    return { ...one, pair };
  });
}

function withoutVerdicts({ verdicts: _, ...rest }: JudgedPairs): Omit<JudgedPairs, 'verdicts'> {
  return rest;
}
