// A whole page in one file: nothing is fetched, nothing but the page's own script runs, whatever texts stand in it.
import { createHash } from 'node:crypto';
import { type Html, html, trusted } from './html';
import { themeCss } from './theme';

/** What a page is made of. */
export interface PageParts {
  /** Of the page's own words. */
  lang: string;
  title: string;
  /** After the theme's. */
  css?: string;
  /** What stands in `body`. */
  body: Html;
  /** Run when the body is there; see {@link clientScript}. */
  script?: string;
  /** Where the page may send requests, as CSP has it: `'self'` for a page with a server. Default nowhere. */
  connect?: string;
}

/** The page as UTF-8 text. Equal parts give equal bytes. */
export function pageDocument({ lang, title, css = '', body, script = '', connect }: PageParts): string {
  const style = `${themeCss}${css}`;
  const page = html`<!doctype html>
<html lang="${lang}">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${contentPolicy({ style, script, connect })}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>${title}</title>
<link rel="icon" href="data:,">
<style>${trusted(style)}</style>
</head>
<body>
${body}
${script !== '' && html`<script>${trusted(script)}</script>`}
</body>
</html>
`;
  return page.toString();
}

/**
 * A content security policy that allows the one style sheet and the one script, by their hashes, and pictures that are in the page.
 * For a page's own `<meta>` or a server's header.
 */
export function contentPolicy({
  style,
  script,
  connect = "'none'",
}: {
  style: string;
  script: string;
  connect?: string | undefined;
}): string {
  const hash = (text: string): string => `'sha256-${createHash('sha256').update(text).digest('base64')}'`;
  return [
    "default-src 'none'",
    `style-src ${hash(style)}`,
    `script-src ${script === '' ? "'none'" : hash(script)}`,
    'img-src data:',
    `connect-src ${connect}`,
    "base-uri 'none'",
    "form-action 'none'",
  ].join('; ');
}
