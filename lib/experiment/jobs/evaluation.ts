// The evaluation set of a job, from the files that its description names.
import { dataEntries, type Evaluation } from '../inputs';
import type { EvaluationKey, Job } from '../job';
import type { Workshop } from './workshop';

export function readEvaluation(job: Job, shop: Workshop): Promise<Evaluation> {
  const { evaluation } = job.description as { evaluation: EvaluationKey };
  return shop.evaluation(dataEntries(evaluation.files, job.files), evaluation);
}
