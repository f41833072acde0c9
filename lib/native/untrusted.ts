// Values out of files from anywhere: nested so deep that a recursion over them would overflow the stack, or so long that an
// error naming them could not be read. JSON.parse and the YAML reader take both.

/** Whether arrays and objects are nested deeper than `levels`. */
export function isDeeper(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  if (levels === 0) return true;
  const children = Array.isArray(value) ? value : Object.values(value);
  for (const child of children) if (isDeeper(child, levels - 1)) return true;
  return false;
}

/** Deeper than any file that is meant well. */
export const LEVELS = 128;

/** The value itself. @throws SyntaxError where it is nested deeper than {@link LEVELS} levels */
export function shallow(value: unknown): unknown {
  if (isDeeper(value, LEVELS)) throw new SyntaxError(`nested deeper than ${LEVELS} levels`);
  return value;
}

/** A value for a message: its JSON, at most 80 characters of it. */
export function shown(value: unknown): string {
  if (typeof value === 'string' && value.length > 80) return JSON.stringify(`${value.slice(0, 79)}…`);
  if (isDeeper(value, LEVELS)) return Array.isArray(value) ? '[[…' : '{…';
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 80 ? `${text.slice(0, 79)}…` : text;
}

/** A name for a message: at most `most` characters of it, 40 by default. */
export function shortened(name: string, most = 40): string {
  return name.length > most ? `${name.slice(0, most - 1)}…` : name;
}

/**
 * A text from elsewhere for a terminal: control characters, which could move the cursor or hide what stands there, and marks that
 * turn the direction of writing about are written as `\\u{1b}`; blanks stay.
 *
 * @param keepLines leave tabs and ends of lines as they are, in a text that may have several. Default false
 */
export function printable(text: string, keepLines = false): string {
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g, (character) =>
    keepLines && (character === '\n' || character === '\t')
      ? character
      : `\\u{${character.charCodeAt(0).toString(16)}}`,
  );
}
