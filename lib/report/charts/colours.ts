// Colours that people with any colour vision can tell apart, and ink that can be read on them.

/**
 * Categories: eight colours of Okabe and Ito ("Color universal design", 2008), the yellow darkened for white paper.
 */
export const CATEGORIES = [
  '#0072b2',
  '#d55e00',
  '#009e73',
  '#cc79a7',
  '#b8860b',
  '#56b4e9',
  '#000000',
  '#7f7f7f',
] as const;

/** From low to high, light to dark; equal steps of the value are about equal steps of lightness. */
const SEQUENTIAL = ['#f2f7fc', '#c9ddf0', '#93bfe0', '#4f93c6', '#1c5f9e', '#0b2f5f'] as const;

/** From under the middle (orange) over white to above it (blue). */
const DIVERGING = ['#8f3b00', '#d9722b', '#f5c193', '#f7f7f7', '#a6cbe6', '#4a90c2', '#0b4a86'] as const;

export interface ColourScale {
  /** As many as colours. */
  domain: readonly number[];
  range: readonly string[];
}

/** A scale over the values: from their lowest to their highest, or by equal steps to both sides of `middle`. */
export function colourScale(values: readonly number[], middle?: number): ColourScale {
  const range = middle === undefined ? SEQUENTIAL : DIVERGING;
  let low = Math.min(...values);
  let high = Math.max(...values);
  if (values.length === 0) [low, high] = [0, 1];
  if (middle !== undefined) {
    const reach = Math.max(high - middle, middle - low) || 1;
    [low, high] = [middle - reach, middle + reach];
  } else if (low === high) {
    [low, high] = [low - 0.5, high + 0.5];
  }
  const step = (high - low) / (range.length - 1);
  return { domain: range.map((_, at) => low + at * step), range };
}

/** The colour of a value, by straight lines through RGB as Vega's `interpolate: rgb` draws them. */
export function colourAt(scale: ColourScale, value: number): [number, number, number] {
  const { domain, range } = scale;
  const last = domain.length - 1;
  const at = Math.min(last, Math.max(0, ((value - domain[0]!) / (domain[last]! - domain[0]!)) * last));
  const lower = Math.min(last - 1, Math.floor(at));
  const [from, to] = [channels(range[lower]!), channels(range[lower + 1]!)];
  return from.map((channel, index) => channel + (to[index]! - channel) * (at - lower)) as [
    number,
    number,
    number,
  ];
}

function channels(hex: string): [number, number, number] {
  return [1, 3, 5].map((at) => Number.parseInt(hex.slice(at, at + 2), 16)) as [number, number, number];
}

/** Black or white, whichever has the higher contrast by WCAG 2's relative luminance. */
export function inkOn(colour: readonly [number, number, number]): '#000000' | '#ffffff' {
  const luminance = luminanceOf(colour);
  return (luminance + 0.05) / 0.05 >= 1.05 / (luminance + 0.05) ? '#000000' : '#ffffff';
}

export function luminanceOf(colour: readonly [number, number, number]): number {
  const [red, green, blue] = colour.map((channel) => {
    const share = channel / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  }) as [number, number, number];
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}
