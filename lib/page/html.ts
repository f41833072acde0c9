// HTML whose texts are texts: what is put into a template is escaped, whatever it holds, unless it is HTML already. There is
// no other way in this library to write a page.

/** Markup that is complete in itself. Made by {@link html} and {@link trusted} only. */
export class Html {
  readonly #markup: string;

  constructor(markup: string) {
    this.#markup = markup;
  }

  toString(): string {
    return this.#markup;
  }
}

/** What may stand in a template. `undefined`, `null` and `false` stand for nothing. */
export type HtmlValue = Html | string | number | undefined | null | false | readonly HtmlValue[];

const REFERENCES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
  // A parser turns it into a line feed otherwise.
  '\r': '&#13;',
};

/** What HTML has no place for, not even by reference: NUL and halves of surrogate pairs. */
const REPLACEMENT = '\ufffd';

/** A text as it may stand between tags and in a quoted attribute: a browser shows exactly it, NUL and lone surrogates as U+FFFD. */
export function escapeHtml(text: string): string {
  return text.replace(/[&<>"'\r\0]|\p{Surrogate}/gu, (found) => REFERENCES[found] ?? REPLACEMENT);
}

/**
 * A template's markup, with every value escaped. Attributes have to be quoted: `<a title="${text}">`. An address from outside
 * has to be checked by the caller: `javascript:` is a text like any other.
 */
export function html(parts: TemplateStringsArray, ...values: readonly HtmlValue[]): Html {
  return new Html(parts.reduce((markup, part, at) => markup + markupOf(values[at - 1]) + part));
}

/** Markup that this library or a library that it trusts has written. Never a text from outside. */
export function trusted(markup: string): Html {
  return new Html(markup);
}

function markupOf(value: HtmlValue): string {
  if (value instanceof Html) return value.toString();
  if (Array.isArray(value)) return value.map(markupOf).join('');
  if (value === undefined || value === null || value === false) return '';
  return escapeHtml(String(value));
}
