// Drawing a training set by a recipe: the one function that the command line, training and experiments call.

import { refuseUnknownOptions } from '../../text/options';
import type { Example } from '../example';
import { refuseLeaks } from '../hold-out';
import type { RenderOptions } from '../render';
import { allocate } from './allocate';
import { arrange, dealMixture, hubOf, inTableOrder } from './draw';
import { describeMixture } from './manifest';
import { formatMixtureSpec, languagesOf, parseMixtureSpec } from './spec';
import { ParallelTable } from './table';
import type { Allocation, Mixture, MixtureInput, MixturePolicy, MixtureSpec } from './types';

export { allocate } from './allocate';
export { type DrawOptions, drawMixture } from './draw';
export { pinchNote } from './note';
export { formatMixtureSpec, languagesOf, MIXTURE_KINDS, parseMixtureSpec, readMixtureSpec } from './spec';
export { ParallelTable } from './table';
export type * from './types';

/** What else a mixture is checked against and counted by. */
export interface MixtureOptions {
  /** Examples that the mixture may share no item with, in any language. */
  evaluation?: readonly Example[] | undefined;
  /** With it the manifest has tokens and one rendered item a language. */
  rendering?: RenderOptions | undefined;
  /** False: with `rendering`, show the items, but count no tokens. Default true. */
  countTokens?: boolean | undefined;
}

/** What a draw depends on besides the table: two recipes with the same plan are the same mixture. */
export interface MixturePlan {
  allocation: Allocation;
  policy: MixturePolicy;
  seed: number;
  /** Only where it makes a difference (`nested` and `overlap` with several languages). */
  hub?: string;
}

/**
 * The recipe with its budget: where none was given, as many examples as the table has items in the recipe's languages (for
 * `prefix`, in all of `order`, so that every k has the same).
 */
export function sizeMixture(input: MixtureInput | string, table: ParallelTable): MixtureSpec {
  const spec = parseMixtureSpec(typeof input === 'string' ? input : { ...input });
  if (spec.kind === 'explicit' || spec.n !== undefined) return spec as MixtureSpec;
  const n = table.itemsIn(spec.kind === 'prefix' ? spec.order : languagesOf(spec));
  return { ...spec, n: Math.max(1, n) } as MixtureSpec;
}

/**
 * What a recipe comes to; a mixture's identity, together with the data. A single language is the same under all policies,
 * so its policy is written as `disjoint`.
 *
 * @param records records by language, which only `temperature` needs
 */
export function planMixture(spec: MixtureSpec, records?: Readonly<Record<string, number>>): MixturePlan {
  const allocation = allocate(spec, records);
  const policy = Object.keys(allocation).length < 2 ? 'disjoint' : (spec.policy ?? 'disjoint');
  const hub = hubOf(
    allocation,
    policy,
    spec.kind === 'pinch' || spec.kind === 'explicit' ? spec.hub : undefined,
  );
  return { allocation, policy, seed: spec.seed ?? 0, ...(hub !== undefined && { hub }) };
}

/**
 * Draws a training set from examples (or their table) by a recipe. The result is a function of the set of examples, the
 * allocation, the policy and the seed; the order of files and records makes no difference.
 *
 * @throws MlitError `MIXTURE_INVALID` where the recipe or its budget can't be met, with what is missing; `DATA_INVALID` where
 * items collide, a language's code is none, or an item is in `evaluation` as well; `DATA_EMPTY`
 */
export function mixture(
  data: readonly Example[] | ParallelTable,
  recipe: MixtureInput | string,
  options: MixtureOptions = {},
): Mixture {
  refuseUnknownOptions('mixture', options, { evaluation: true, rendering: true, countTokens: true });
  const table = data instanceof ParallelTable ? data : ParallelTable.from(data);
  const spec = sizeMixture(recipe, table);
  const plan = planMixture(spec, table.recordsByLanguage());
  if (options.evaluation !== undefined) refuseLeaks(table.examples, options.evaluation);
  const dealt = dealMixture(table, plan);
  const examples = arrange(table, dealt, plan.seed);
  const manifest = describeMixture(examples, {
    inTableOrder: inTableOrder(table, dealt),
    spec: formatMixtureSpec(spec),
    policy: spec.policy ?? 'disjoint',
    seed: plan.seed,
    rendering: options.rendering,
    countTokens: options.countTokens,
  });
  return { examples, allocation: plan.allocation, manifest };
}
