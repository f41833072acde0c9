// The page as it is delivered: headings, places and style. It is the same for every task; what is asked comes afterwards, from the
// server to the page's script.
import { clientScript } from '../page/client-script';
import { contentPolicy, pageDocument } from '../page/document';
import { html } from '../page/html';
import { themeCss } from '../page/theme';

const css = `
body { max-inline-size: 80rem; margin-inline: auto; padding: 0.75rem 1rem 0; min-block-size: 100vh; display: flex; flex-direction: column; }
h1 { font-size: 1.25rem; margin: 0; }
h2 { font-size: 1rem; margin: 0 0 0.35rem; color: var(--quiet); font-weight: 600; }
header { display: flex; flex-wrap: wrap; gap: 0.25rem 1rem; align-items: center; justify-content: space-between; }
main { flex: 1; display: flex; flex-direction: column; }
#question { flex: 1; padding-block: 0.75rem; }
#where:focus { outline: none; }
progress { inline-size: min(12rem, 35vw); max-inline-size: 100%; accent-color: var(--accent); vertical-align: middle; }
section { border: 1px solid var(--line); border-radius: var(--round); padding: 0.75rem; background: var(--paper); min-inline-size: 0; }
section.prompt { background: var(--panel); margin-block-end: 0.75rem; }
.prompt .role { color: var(--quiet); font-size: 0.875rem; margin-block-start: 0.5rem; }
.answers { display: grid; gap: 0.75rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr)); }
.answers section[data-chosen="true"] { border-color: var(--accent); box-shadow: inset 0 0 0 2px var(--accent); }
.answers p, .prompt p { margin: 0; }
.dock {
  position: sticky; inset-block-end: 0; background: var(--paper); padding-block: 0.35rem max(0.6rem, env(safe-area-inset-bottom));
}
.dock:has(.actions) { border-block-start: 1px solid var(--line); }
.actions { display: flex; flex-wrap: wrap; gap: 0.5rem; }
.actions button { min-block-size: 2.75rem; }
.actions .move { margin-inline-start: auto; display: flex; gap: 0.5rem; flex-wrap: wrap; }
html { scroll-padding-block-end: 9rem; }
#said { min-block-size: 1.5rem; margin: 0; }
#said[data-kind="bad"] { color: var(--bad); font-weight: 600; }
form { max-inline-size: 34rem; }
fieldset { border: 1px solid var(--line); border-radius: var(--round); margin-block: 1rem; padding: 0.5rem 1rem 0.75rem; }
fieldset label { display: block; padding-block: 0.25rem; }
form button { min-block-size: 2.75rem; padding-inline: 1.25rem; }
details { margin-block: 0.5rem 1rem; }
details td:not(:first-child), details th:not(:first-child) { text-align: end; }
@media (max-width: 40rem) {
  .actions button { flex: 1 1 auto; padding-inline: 0.4rem; }
  .actions .move { margin-inline-start: 0; inline-size: 100%; }
  .actions kbd { display: none; }
}
@media (prefers-reduced-motion: no-preference) { .answers section { transition: box-shadow 0.12s; } }
`;

/** The page and the headers that it is sent with. */
export interface DeliveredPage {
  body: string;
  headers: Readonly<Record<string, string>>;
}

let delivered: DeliveredPage | undefined;

/** @throws MlitError `FILE_NOT_FOUND` where the package was not built whole */
export function annotationPage(): DeliveredPage {
  if (delivered !== undefined) return delivered;
  const script = clientScript('annotate');
  const connect = "'self'";
  const body = pageDocument({
    lang: 'en',
    title: 'Judge answers',
    css,
    script,
    connect,
    body: html`<header>
<h1 id="title">Judge answers</h1>
<div id="progress"></div>
</header>
<main>
<div id="question"><p>Loading …</p><noscript><p>This page needs its script.</p></noscript></div>
<div class="dock">
<p id="said" role="status"></p>
<div id="actions"></div>
</div>
</main>
<footer id="below"></footer>`,
  });
  const policy = contentPolicy({ style: `${themeCss}${css}`, script, connect });
  delivered = {
    body,
    headers: {
      'content-type': 'text/html; charset=utf-8',
      'content-security-policy': `${policy}; frame-ancestors 'none'`,
    },
  };
  return delivered;
}
