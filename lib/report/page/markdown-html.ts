// Captions and warnings are Markdown of a few marks; as HTML they are these marks and otherwise text.
import { type Html, html } from '../../page/html';

/** Code, bold, emphasis, link, an escaped character: what captions use, the first of them that stands next. */
const MARK =
  /`([^`]+)`|\*\*(?=\S)(.+?)(?<=\S)\*\*|(?<![\w*])\*(?=\S)([^*]+?)(?<=\S)\*(?![\w*])|\[([^\]]*)\]\(([^)\s]*)\)|\\([\\`*_[\]<>|~#])/;

/** A paragraph's words. Links lead to pages of the web and to files beside the report only; other addresses are shown. */
export function inlineMarkdown(text: string): Html {
  const parts: Html[] = [];
  let rest = text;
  for (let found = MARK.exec(rest); found !== null; found = MARK.exec(rest)) {
    parts.push(html`${rest.slice(0, found.index)}${marked(found)}`);
    rest = rest.slice(found.index + found[0].length);
  }
  return html`${parts}${rest}`;
}

function marked([, code, bold, emphasis, label, address, character]: RegExpExecArray): Html {
  if (code !== undefined) return html`<code>${code}</code>`;
  if (bold !== undefined) return html`<strong>${inlineMarkdown(bold)}</strong>`;
  if (emphasis !== undefined) return html`<em>${inlineMarkdown(emphasis)}</em>`;
  if (label === undefined || address === undefined) return html`${character}`;
  if (/^https?:\/\/|^[\w-][\w./-]*$/.test(address)) return html`<a href="${address}">${label}</a>`;
  return html`${label} (${address})`;
}
