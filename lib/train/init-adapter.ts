// A run that starts from an adapter has that adapter's shape: what was asked for is compared with it, and what is recorded
// is what is trained.
import { canonicalTarget } from '../model/adapter';
import { refuseNoAdapter } from '../model/kinds';
import { loadAddon } from '../native/addon';
import type { TrainOptions, TrainOptionsInput } from './options';

/**
 * The options with rank, alpha, rslora, dropout and target of `initAdapter`; as they are where there is none.
 *
 * @param given what the caller set, without defaults
 * @throws RangeError naming an option that contradicts adapter_config.json; MlitError where that cannot be read
 */
export async function adoptInitAdapter(
  options: TrainOptions,
  given: Partial<TrainOptionsInput>,
): Promise<TrainOptions> {
  const { initAdapter } = options;
  if (initAdapter === undefined) return options;
  await refuseNoAdapter(initAdapter);
  const { rank, alpha, rslora, dropout = 0, targetModules } = await loadAddon().readPeftConfig(initAdapter);
  const found = { rank, alpha, rslora, dropout, target: canonicalTarget(targetModules) };
  const asked = { ...given, ...(given.target !== undefined && { target: canonicalTarget(given.target) }) };
  for (const key of ['rank', 'alpha', 'rslora', 'dropout', 'target'] as const) {
    if (asked[key] === undefined || JSON.stringify(asked[key]) === JSON.stringify(found[key])) continue;
    throw new RangeError(
      `train options: ${key} is ${JSON.stringify(given[key])}, but ${initAdapter}/adapter_config.json says ${JSON.stringify(found[key])}; leave the option out`,
    );
  }
  return { ...options, ...found };
}
