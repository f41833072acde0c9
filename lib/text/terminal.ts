// Text from models and files on its way to a terminal: what would move its cursor, set its title or turn the reading order round
// is shown instead of obeyed.

/** C0 but for tab and newline, DEL, C1, and the two overrides of writing direction. */
const CONTROL = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202d\u202e]/g;

/** The same text with a picture (␛) or `\u{9b}` in place of each control character. */
export function forTerminal(text: string): string {
  return text.replace(CONTROL, (character) => {
    const code = character.charCodeAt(0);
    if (code < 0x20) return String.fromCharCode(0x2400 + code);
    return code === 0x7f ? '␡' : `\\u{${code.toString(16)}}`;
  });
}
