// What exported models are compared by: the log-probability of every token of a family's reference documents.
import { Adapter, Model, packExamples, TrainingSession } from '../../lib/index';
import { type Doc, fixtureJson, packable } from './fixtures';

/** Of a model at a path, with an adapter's folder where one is given. */
export async function logprobsOf(path: string, family: string, adapter?: string): Promise<number[]> {
  await using model = await Model.load({ model: path, threads: 2 });
  const adapters = adapter === undefined ? [] : [await Adapter.load(model, adapter)];
  const { packed } = fixtureJson<{ packed: { documents: Doc[] } }>(family, 'expected.json');
  const examples = packed.documents.map((doc, i) => packable(doc, `d${i}`));
  const microTokens = 512;
  const session = await TrainingSession.create({ model, adapters, microTokens, training: false });
  const [group] = packExamples(examples, { microTokens, allTargets: true, adapters: adapters.length - 1 });
  const { logprobs } = await session.score(group!.batch);
  return [...logprobs];
}
