// One look for all pages: tokens for light, dark and paper, the same shapes of headings, tables, controls and marks. No state is
// told by colour alone, and blue and orange are what every colour vision tells apart.

const LIGHT = `
  --paper: #ffffff;
  --panel: #f3f5f7;
  --ink: #1a1a1a;
  --quiet: #595959;
  --line: #c9ced3;
  --control: #767d84;
  --accent: #0b4a86;
  --on-accent: #ffffff;
  --good: #0b4a86;
  --bad: #8f3b00;
  --mark: #fff0b3;
  --focus: #b25000;`;

const DARK = `
  --paper: #14171a;
  --panel: #1f2429;
  --ink: #ececec;
  --quiet: #b0b5ba;
  --line: #444b52;
  --control: #8a929a;
  --accent: #8cc4f2;
  --on-accent: #10202e;
  --good: #8cc4f2;
  --bad: #f5b183;
  --mark: #5a4a00;
  --focus: #ffb454;`;

/** Custom properties and the elements that every page has. A page adds its own after it. */
export const themeCss = `:root {
  color-scheme: light dark;${LIGHT}
  --face: system-ui, "Noto Sans", "Noto Sans Arabic", "Noto Sans Hebrew", "Noto Sans Devanagari", sans-serif;
  --round: 6px;
}
@media (prefers-color-scheme: dark) {
  :root {${DARK}
  }
}
@media print {
  :root {
    color-scheme: light;${LIGHT}
  }
}
* { box-sizing: border-box; }
html { font: 16px/1.5 var(--face); color: var(--ink); background: var(--paper); scroll-padding-top: 1rem; }
body { margin: 0; }
h1, h2, h3, h4 { line-height: 1.25; text-wrap: balance; }
h1 { font-size: 1.75rem; }
h2 { font-size: 1.35rem; margin-block: 2.5rem 0.75rem; }
h3 { font-size: 1.1rem; margin-block: 1.75rem 0.5rem; }
a { color: var(--accent); }
code, kbd { font-family: ui-monospace, "Noto Sans Mono", monospace; font-size: 0.875em; overflow-wrap: anywhere; }
kbd { border: 1px solid var(--control); border-radius: 4px; padding: 0 0.3em; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: 0.3rem 0.7rem; border-block-end: 1px solid var(--line); text-align: start; vertical-align: top; }
thead th { border-block-end: 2px solid var(--control); vertical-align: bottom; }
button, select, input, textarea {
  font: inherit; color: var(--ink); background: var(--paper); border: 1px solid var(--control); border-radius: var(--round);
  padding: 0.35rem 0.6rem; max-inline-size: 100%;
}
button { cursor: pointer; background: var(--panel); }
button:disabled { cursor: default; color: var(--quiet); }
button[aria-pressed="true"] { background: var(--accent); color: var(--on-accent); border-color: var(--accent); }
:focus-visible { outline: 3px solid var(--focus); outline-offset: 2px; }
.quiet { color: var(--quiet); }
.text { white-space: pre-wrap; overflow-wrap: anywhere; text-align: start; unicode-bidi: isolate; }
.scroll { overflow-x: auto; max-inline-size: 100%; }
.unseen {
  position: absolute; inline-size: 1px; block-size: 1px; margin: -1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap;
}
.skip { position: absolute; inset-inline-start: 1rem; inset-block-start: -10rem; background: var(--paper); padding: 0.5rem 1rem; z-index: 2; }
.skip:focus { inset-block-start: 0.5rem; }
@media (prefers-reduced-motion: no-preference) { html { scroll-behavior: smooth; } }
@media (forced-colors: active) { button[aria-pressed="true"] { outline: 3px solid Highlight; } }
@media print {
  html { font-size: 10pt; }
  .no-print { display: none !important; }
  a { color: inherit; text-decoration: none; }
  thead { display: table-header-group; }
  tr, figure { break-inside: avoid; }
  h1, h2, h3, h4 { break-after: avoid; }
  .scroll { overflow: visible; }
}
`;
