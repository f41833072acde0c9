// What an experiment's judges said, from the files of finished judge jobs: verdicts under the names of the answers' jobs, brought back
// to the arms that an experiment has.
import { type Qualification, readQualificationLines } from '../eval/judges/qualification';
import { readVerdicts, type VerdictLine } from '../eval/verdicts';
import type { GraphJudgement } from './graph';
import type { Store } from './store/store';
import type { ExperimentGraph } from './store/types';

/** A finished judgement of an experiment. */
export interface StoredJudgement extends GraphJudgement {
  verdicts: readonly VerdictLine[];
  qualifications: readonly Qualification[];
}

/**
 * The finished ones, in the graph's order.
 *
 * @throws MlitError `DATA_INVALID` naming a damaged line
 */
export async function storedJudgements(store: Store, graph: ExperimentGraph): Promise<StoredJudgement[]> {
  const judgements: StoredJudgement[] = [];
  for (const judgement of graph.judgements ?? []) {
    const { job } = judgement;
    if (store.finished(job) === undefined) continue;
    judgements.push({
      ...judgement,
      verdicts: await readVerdicts(store.outputPath(job, 'verdicts.jsonl')),
      qualifications: await readQualificationLines(store.outputPath(job, 'qualifications.jsonl')),
    });
  }
  return judgements;
}

/** Verdicts with the experiment's own names of the models: the base, which has no seed, is called by its arm. */
export function underArms({ a, b, seed, verdicts }: StoredJudgement, graph: ExperimentGraph): VerdictLine[] {
  const several = graph.seeds.length > 1;
  const nameOf = (arm: string): string => {
    const isBase = graph.models.find((model) => model.arm === arm)?.jobs.train === undefined;
    return several && !isBase ? `${arm}/${seed}` : arm;
  };
  const names = { a: nameOf(a), b: nameOf(b) };
  return verdicts.map((line) => ({ ...line, ...names }));
}
