// Pages are written by templates whose texts stay texts; what they hold packed comes out as it went in; and a page says nothing
// of itself that would let a text run.
import { createHash } from 'node:crypto';
import { inflateSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { directionOf, languageAttributes } from '../../lib/page/direction';
import { pageDocument } from '../../lib/page/document';
import { escapeHtml, html, trusted } from '../../lib/page/html';
import { packedBlock } from '../../lib/page/packed';

/** What a parser makes of references again; only those that are written. */
const REFERENCES: Record<string, string> = {
  '&amp;': '&',
  '&lt;': '<',
  '&gt;': '>',
  '&quot;': '"',
  '&#39;': "'",
  '&#13;': '\r',
};
const parsed = (markup: string): string => markup.replace(/&[^;]*;/g, (found) => REFERENCES[found]!);

/** Halves of surrogate pairs among them. */
const anyText = fc
  .array(fc.oneof(fc.integer({ min: 0, max: 127 }), fc.integer({ min: 0, max: 0x10ffff })))
  .map((codes) => String.fromCodePoint(...codes));

describe('escaping', () => {
  it('gives back any text, and leaves nothing that opens a tag or ends an attribute', () => {
    fc.assert(
      fc.property(anyText, (text) => {
        const markup = escapeHtml(text);
        return !/[<>"'\r\0]/.test(markup) && parsed(markup) === text.replace(/\0|\p{Surrogate}/gu, '\ufffd');
      }),
    );
    expect(escapeHtml('\ud800a\udc00')).toBe('\ufffda\ufffd');
  });

  it('happens to every value of a template but markup', () => {
    const list = ['<b>', html`<i>${'<'}</i>`, [3, '&']];
    expect(html`<p title="${'"'}">${list}${undefined}${null}${false}${0}</p>`.toString()).toBe(
      '<p title="&quot;">&lt;b&gt;<i>&lt;</i>3&amp;0</p>',
    );
    expect(html`${trusted('<svg/>')}`.toString()).toBe('<svg/>');
    expect(html`${{ toString: () => '<x>' } as unknown as string}`.toString()).toBe('&lt;x&gt;');
  });
});

describe('directions', () => {
  it('are those of the script that a language is written in', () => {
    for (const lang of ['ar', 'he', 'fa', 'ur', 'yi', 'ps', 'az-Arab', 'dv'])
      expect(directionOf(lang)).toBe('rtl');
    for (const lang of ['en', 'ru', 'hi', 'zh', 'az', 'ar-Latn']) expect(directionOf(lang)).toBe('ltr');
    for (const lang of ['und', 'undecided', '', '"><script>']) expect(directionOf(lang)).toBe('auto');
  });

  it('of an unknown language are the text’s own, under no other language’s name', () => {
    expect(languageAttributes('he')).toEqual({ lang: 'he', dir: 'rtl' });
    expect(languageAttributes('"><script>')).toEqual({ lang: 'und', dir: 'auto' });
  });
});

describe('packed blocks', () => {
  it('hold any bytes as characters that end no element', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 500 }), (bytes) => {
        const block = packedBlock('x', bytes).toString();
        const [, packed] = /^<script type="[\w/+-]+" id="x">([\w+/=]*)<\/script>\n$/.exec(block)!;
        expect(new Uint8Array(inflateSync(Buffer.from(packed!, 'base64')))).toEqual(bytes);
      }),
    );
  });
});

describe('a page', () => {
  const page = pageDocument({
    lang: 'en',
    title: '</title>',
    body: html`<main></main>`,
    script: 'a()',
    css: 'b{}',
  });

  it('allows the one script and the one style sheet that it has', () => {
    const of = (tag: string): string => new RegExp(`<${tag}>([^<]*)</${tag}>`).exec(page)![1]!;
    const policy = parsed(/Content-Security-Policy" content="([^"]*)"/.exec(page)![1]!);
    for (const tag of ['script', 'style']) {
      const hash = createHash('sha256').update(of(tag)).digest('base64');
      expect(policy).toContain(`${tag}-src 'sha256-${hash}'`);
    }
    expect(policy).toContain("default-src 'none'");
    expect(policy).not.toContain('unsafe');
  });

  it('names its title as a text, and nothing outside of itself', () => {
    expect(page).toContain('<title>&lt;/title&gt;</title>');
    expect(page).not.toMatch(/https?:|src=|url\(/);
  });
});
