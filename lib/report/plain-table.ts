// Tables for a terminal, aligned by what the characters take up on the screen and not by how many there are.

const WIDE =
  /^[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}\p{Emoji_Presentation}\uff01-\uff60\u3000-\u303f]/u;
const WITHOUT_WIDTH = /^[\p{Mn}\p{Me}\p{Cf}]/u;

/** Columns of a terminal that a text takes up. */
export function displayWidth(text: string): number {
  let width = 0;
  for (const character of text) width += WITHOUT_WIDTH.test(character) ? 0 : WIDE.test(character) ? 2 : 1;
  return width;
}

/**
 * Rows under a header, two blanks between columns.
 *
 * @param left whether a column's texts begin at its left edge; default: the first one's do
 */
export function plainTable(
  header: readonly string[],
  rows: readonly (readonly string[])[],
  left: (column: number) => boolean = (column) => column === 0,
): string {
  const all = [header, ...rows];
  const widths = header.map((_, column) => Math.max(...all.map((row) => displayWidth(row[column] ?? ''))));
  const pad = (text: string, column: number): string => {
    const fill = ' '.repeat(Math.max(0, widths[column]! - displayWidth(text)));
    return left(column) ? text + fill : fill + text;
  };
  return all.map((row) => row.map(pad).join('  ').trimEnd()).join('\n');
}
