// How a number is written for people: one place, so that Markdown, LaTeX, the terminal and the plots round alike.

const MINUS = '\u2212';
/** Between groups of three digits: narrow, and no line is broken there. */
const THIN_SPACE = '\u202f';

export const NOT_APPLICABLE = 'n/a';

/** Rounded to `digits` decimals; a true minus sign, none before zero; thin spaces in whole parts of five digits and more. */
export function formatNumber(value: number, digits = 1): string {
  if (!Number.isFinite(value)) return NOT_APPLICABLE;
  const text = Math.abs(value).toFixed(digits);
  if (text.includes('e')) return `${value < 0 ? MINUS : ''}${text}`;
  const [whole = '0', fraction] = text.split('.');
  const grouped = whole.length < 5 ? whole : whole.replace(/\B(?=(\d{3})+$)/g, THIN_SPACE);
  const sign = value < 0 && Number(text) !== 0 ? MINUS : '';
  return `${sign}${grouped}${fraction === undefined ? '' : `.${fraction}`}`;
}

/** A count. */
export function formatCount(value: number): string {
  return formatNumber(value, Number.isInteger(value) ? 0 : 1);
}
