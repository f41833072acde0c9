// The paper's smallest pinch is a number of examples that only its own budget turns into one percent: whoever uses either
// is told what the other would be.
import type { MixtureInput } from './types';

const PAPER_COUNT = 40;
const PAPER_EXAMPLES = 4640;

/** One sentence on `count` 40 and `percent` 1 of a pinch; undefined for every other recipe. */
export function pinchNote(spec: MixtureInput): string | undefined {
  if (spec.kind !== 'pinch') return undefined;
  const { n } = spec;
  const others = spec.languages.filter((language) => language !== spec.hub).length;
  const split = `${Math.floor(PAPER_COUNT / others)} or ${Math.ceil(PAPER_COUNT / others)} in each of ${others} languages`;
  const paper = `the paper's P = 1 has exactly ${PAPER_COUNT} examples outside English among its ${PAPER_EXAMPLES.toLocaleString('en')}`;
  if ('count' in spec) {
    if (spec.count !== PAPER_COUNT) return undefined;
    const share =
      n === undefined
        ? ''
        : n === PAPER_EXAMPLES
          ? ''
          : `; of these ${n.toLocaleString('en')} examples they are ${((100 * PAPER_COUNT) / n).toFixed(1)} %`;
    return `count=${PAPER_COUNT}: ${paper} (here ${split})${share}. 40 for P = 1 is true only at n = 4,640`;
  }
  if (spec.percent !== 1 || n === undefined) return undefined;
  const outside = Math.round((n / 100) * (others / (others + 1)));
  return `percent=1: about ${outside} of ${n.toLocaleString('en')} examples are outside ${spec.hub}, whose own share of the 1 % is counted; ${paper}: count=${PAPER_COUNT} gives that number`;
}
