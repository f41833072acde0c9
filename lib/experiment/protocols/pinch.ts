// E2, E3: P percent of the budget spread evenly over all languages, the hub's share included, and the rest in the hub's.
import { MlitError } from '../../native/errors';
import { languageName } from '../../text/language-codes';
import type { ExperimentSpec } from '../spec';
import type { Arm } from '../types';
import { PAPER_EXAMPLES } from './languages';
import { monolingualArm } from './shared-arms';

/**
 * The paper's ticks (V). Its tick 1 is exactly 40 examples outside English, though one percent of its 4,640, spread over
 * twelve languages, would leave 42 or 43; with any other budget 1 means one percent.
 */
export function defaultTicks(examples: number): readonly (number | string)[] {
  return [0, examples === PAPER_EXAMPLES ? 'count:40' : 1, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100];
}

export function pinchArms(
  spec: ExperimentSpec,
  languages: readonly string[],
  evaluate: readonly string[],
): Arm[] {
  const { hub, examples: n } = spec;
  const ticks = spec.ticks ?? defaultTicks(n);
  const others = languages.filter((language) => language !== hub);
  if (others.length === 0) {
    throw new MlitError(
      'EXPERIMENT_INVALID',
      `${spec.name}: languages: protocol 'pinch' needs a language besides the hub '${hub}'`,
      { fields: { field: 'languages', value: languages.join(', ') } },
    );
  }
  const all = [hub, ...others];
  const arms = ticks.map((tick): Arm => {
    if (tick === 0 || tick === 'count:0') {
      const { mixture } = monolingualArm(hub, spec, evaluate);
      return {
        id: 'pinch-0',
        label: `${languageName(hub)} only (P = 0 %)`,
        mixture: mixture!,
        at: { percent: 0 },
        evaluate,
      };
    }
    if (typeof tick === 'number') {
      return {
        id: `pinch-${tick}`,
        label: `P = ${tick} %`,
        mixture: { kind: 'pinch', percent: tick, languages: all, hub, n },
        at: { percent: tick },
        evaluate,
      };
    }
    const count = Number(tick.slice('count:'.length));
    if (count > n) {
      throw new MlitError(
        'EXPERIMENT_INVALID',
        `${spec.name}: ticks: '${tick}' is more than the budget of ${n} examples; write a smaller count or raise 'examples'`,
        { fields: { field: 'ticks', value: tick, expected: `at most count:${n}` } },
      );
    }
    return {
      id: `pinch-count${count}`,
      label: `${count} examples outside ${languageName(hub)}`,
      mixture: { kind: 'pinch', count, languages: all, hub, n },
      // The percentage that comes to this count, as a place on the axis: the hub has a share of P too.
      at: { percent: Number(((count / n) * (all.length / others.length) * 100).toFixed(3)), count },
      evaluate,
    };
  });
  const byId = new Map(arms.map((arm) => [arm.id, arm]));
  return [...byId.values()];
}
