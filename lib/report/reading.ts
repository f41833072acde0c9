// What every reader of the report is told before the numbers, on paper and on the page alike.
import type { ExperimentResults } from '../experiment/results';

/** With fewer repetitions there is no bootstrap over repetitions. */
const ENOUGH_SEEDS = 10;

/** Sentences, in Markdown. */
export function readingNotes({ provenance, figures }: ExperimentResults): string[] {
  const { seeds } = provenance;
  const few =
    seeds.length === 1
      ? 'There is one seed: nothing here says how much another draw of the data, another order or another initialisation would change.'
      : `There are ${seeds.length} seeds: their values are shown one by one, for an interval over them would rest on too few.`;
  return [
    'Brackets hold an interval of 95 % by a bootstrap over items (an item in all its languages is drawn together), unless a caption says otherwise. It is conditional on these runs: it tells what other prompts of this kind would change, not what other runs would.',
    ...(seeds.length < ENOUGH_SEEDS ? [few] : []),
    'n counts items, not items times languages; “n/a” stands where a measure does not apply.',
    ...(figures.some((figure) => figure.paper !== undefined)
      ? [
          'Where a figure is said to correspond to one of the paper (Shaham et al., Findings of ACL 2024), it asks the same question; no number of the paper’s is shown.',
        ]
      : []),
  ];
}
