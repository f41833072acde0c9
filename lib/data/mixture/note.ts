// The paper's smallest pinch is a number of examples that only its own budget turns into one percent: whoever uses either
// is told what the other would be.
import { allocate } from './allocate';
import type { MixtureInput } from './types';

const PAPER_COUNT = 40;
const PAPER_EXAMPLES = 4640;

/** One sentence on `count` 40 and `percent` 1 of a pinch; undefined for every other recipe. */
export function pinchNote(spec: MixtureInput): string | undefined {
  if (spec.kind !== 'pinch') return undefined;
  const { n } = spec;
  const paper = `the paper's P = 1 has exactly ${PAPER_COUNT} examples outside English among its ${grouped(PAPER_EXAMPLES)}`;
  if ('count' in spec) {
    if (spec.count !== PAPER_COUNT) return undefined;
    const others = spec.languages.filter((language) => language !== spec.hub).length;
    const [least, most] = [Math.floor(PAPER_COUNT / others), Math.ceil(PAPER_COUNT / others)];
    const each = least === most ? `${least}` : `${least} or ${most}`;
    const share =
      n === undefined || n === PAPER_EXAMPLES
        ? ''
        : `; of these ${grouped(n)} they are ${((100 * PAPER_COUNT) / n).toFixed(1)} %`;
    return `count=${PAPER_COUNT}: ${paper} (here ${each} in each of ${others} languages)${share}. That ${PAPER_COUNT} is P = 1 holds at n = ${grouped(PAPER_EXAMPLES)} only`;
  }
  if (spec.percent !== 1 || n === undefined) return undefined;
  const outside = n - (allocate({ ...spec, n })[spec.hub] ?? 0);
  return `percent=1: ${outside} of ${grouped(n)} examples are outside ${spec.hub}, whose own share of the 1 % is counted; ${paper}: count=${PAPER_COUNT} gives that number`;
}

function grouped(value: number): string {
  return value.toLocaleString('en');
}
