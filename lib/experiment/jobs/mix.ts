// Draws one mixture and writes it as a data set of its own, with the manifest that says what is in it.
import { join } from 'node:path';
import { mixture } from '../../data/mixture';
import { writeRecords } from '../../data/write';
import { writeFileAtomic } from '../../native/files';
import type { Assignment } from '../executor';
import { dataEntries } from '../inputs';
import type { MixDescription } from '../job';
import type { Workshop } from './workshop';

export async function runMix(work: Assignment, shop: Workshop): Promise<Record<string, unknown>> {
  const { data, field, allocation, policy, seed, hub } = work.job.description as MixDescription;
  const table = await shop.table(dataEntries(data, work.job.files), field);
  const recipe = {
    kind: 'explicit',
    counts: allocation,
    policy,
    seed,
    ...(hub !== undefined && { hub }),
  } as const;
  const drawn = mixture(table, recipe);
  await writeRecords(join(work.folder, 'mixture.jsonl'), drawn.examples);
  await writeFileAtomic(join(work.folder, 'manifest.json'), `${JSON.stringify(drawn.manifest, null, 2)}\n`);
  return { examples: drawn.examples.length, allocation };
}
