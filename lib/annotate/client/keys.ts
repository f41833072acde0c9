// Keys that answer. They are letters of the Latin alphabet, and who judges Arabic, Hebrew or Russian often has another one on the
// keyboard: then the key's place counts.

/** The letter, digit or named key of an event, as `a`, `1`, `ArrowLeft`; undefined for a key that is another program's. */
export function keyOf(event: KeyboardEvent): string | undefined {
  if (event.repeat || event.altKey || event.metaKey || event.isComposing) return undefined;
  if (event.ctrlKey) return event.key.toLowerCase() === 'z' || event.code === 'KeyZ' ? 'u' : undefined;
  if (event.key.length > 1) return event.key;
  const letter = event.key.toLowerCase();
  if (/^[a-z0-9]$/.test(letter)) return letter;
  return /^(?:Key|Digit)([A-Z0-9])$/.exec(event.code)?.[1]?.toLowerCase();
}

/** Whether somebody is typing into a field, or moving within a control that has arrows of its own. */
export function isTyping(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false;
  if (target instanceof HTMLInputElement) return target.type !== 'checkbox';
  return (
    target.isContentEditable || target instanceof HTMLSelectElement || target instanceof HTMLTextAreaElement
  );
}
