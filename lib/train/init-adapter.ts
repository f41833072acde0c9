// A run that starts from an adapter has that adapter's shape: what was asked for is compared with it, and what is recorded
// is what is trained.
import { ALL_LINEAR } from '../model/adapter';
import { loadAddon } from '../native/addon';
import { PROJECTIONS, type TrainOptions, type TrainOptionsInput } from './options';

/**
 * The options with rank, alpha, rslora and target of `initAdapter`; as they are where there is none.
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
  const { rank, alpha, rslora, targetModules } = await loadAddon().readPeftConfig(initAdapter);
  const modules = PROJECTIONS.filter((name) => targetModules.includes(name));
  const target = modules.length === PROJECTIONS.length ? 'all-linear' : modules;
  const found = { rank, alpha, rslora, target } as const;
  for (const key of ['rank', 'alpha', 'rslora', 'target'] as const) {
    if (given[key] === undefined || canonical(given[key]) === canonical(found[key])) continue;
    throw new RangeError(
      `train options: ${key} is ${JSON.stringify(given[key])}, but ${initAdapter}/adapter_config.json says ${JSON.stringify(found[key])}; leave the option out`,
    );
  }
  return { ...options, ...found, target: target === 'all-linear' ? target : [...target] };
}

function canonical(value: unknown): string {
  const list = value === 'all-linear' ? ALL_LINEAR : value;
  return JSON.stringify(Array.isArray(list) ? [...new Set(list)].sort() : list);
}
