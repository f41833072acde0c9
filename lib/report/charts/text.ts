// Words in plots: how wide they are without a browser to ask, where they are broken, and which characters XML has no place
// for.
import { displayWidth } from '../plain-table';

/** Widths of a broad sans-serif face, in units of the font size: on a machine with a narrower one there is air, nowhere too little. */
const NARROW = /[iljtfrI1.,:;'|!()[\] ·]/u;
const BROAD = /[mwMW@%—…]/u;
const CAPITAL = /\p{Lu}/u;

/** About how wide a text is drawn, in pixels: the same on every machine, whatever fonts it has. */
export function textWidth(text: string, fontSize: number, bold = false): number {
  let width = 0;
  for (const character of text) {
    const columns = displayWidth(character);
    if (columns === 0) continue;
    if (columns === 2) width += 1;
    else if (NARROW.test(character)) width += 0.38;
    else if (BROAD.test(character)) width += 0.98;
    else width += CAPITAL.test(character) ? 0.74 : 0.62;
  }
  return width * fontSize * (bold ? 1.12 : 1);
}

/** Of no width, and no break is made there. */
const WORD_JOINER = '\u2060';

/**
 * Without what XML 1.0 forbids: control characters, halves of surrogate pairs, U+FFFE and U+FFFF. Texts such as `constructor`,
 * which Vega would look up in a plain object and find, get a character of no width.
 */
export function drawable(text: string): string {
  const clean = text
    .replace(/[\t\r\n]+/g, ' ')
    .replace(/[\u0000-\u001f\u007f-\u009f\ufffe\uffff]|\p{Surrogate}/gu, '\ufffd');
  return clean in Object.prototype ? `${clean}${WORD_JOINER}` : clean;
}

/** Lines of at most `width` pixels; a longer word stays whole. */
export function wrap(text: string, width: number, fontSize: number, bold = false): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of drawable(text).split(' ')) {
    if (word === '') continue;
    const longer = line === '' ? word : `${line} ${word}`;
    if (line !== '' && textWidth(longer, fontSize, bold) > width) {
      lines.push(line);
      line = word;
    } else {
      line = longer;
    }
  }
  return (line === '' ? lines : [...lines, line]).map(drawable);
}
