// The part of the report in which answers are read side by side: its controls, complete and named before any script runs, and the
// places that the page's script fills.
import { type Html, html } from '../../page/html';
import type { AnswersMeta, PageModel } from './answer-data';
import type { PackedAnswers } from './answer-packer';
import { judgeName } from './judge-name';

/** What stands for a choice that filters nothing. */
const ANY = html`<option value="">any</option>`;

export function answersSection(packed: PackedAnswers, unfinished: string | undefined): Html {
  const { meta, prompts, references } = packed;
  const { models, languages } = meta;
  const arms = [...new Map(models.map((model) => [model.arm, model])).values()];
  const seeds = [...new Set(models.flatMap(({ seed }) => (seed === null ? [] : [seed])))].sort(
    (a, b) => a - b,
  );
  const text = meta.answers.toLocaleString('en-US');
  return html`<section id="answers" aria-labelledby="answers-title">
<h2 id="answers-title">Answers</h2>
<p>${text} answers of ${models.length} models to ${prompts.toLocaleString('en-US')} prompts. ${unfinished}</p>
${frameNote(meta.frame)}
<noscript><p>The answers are packed in this file, and shown by its script, which does not run here.</p></noscript>
<form id="filters" class="filters no-print" role="search" aria-label="Filter answers" hidden>
${select('lang', 'Language of the prompt', [
  ANY,
  ...languages.map(
    ({ code, name, prompts: count }) => html`<option value="${code}">${name} (${code}), ${count}</option>`,
  ),
])}
${select('model', 'Model', [html`<option value="">all</option>`, ...arms.map(armOption)])}
${select('beside', 'Beside it', [html`<option value="">no other</option>`, ...arms.map(armOption)])}
${
  seeds.length > 1 &&
  select('seed', 'Seed', [ANY, ...seeds.map((seed) => html`<option value="${seed}">${seed}</option>`)])
}
${select('answered', 'Answered in', [
  ANY,
  html`<option value="right">the prompt’s language</option>`,
  html`<option value="wrong">another language</option>`,
  html`<option value="undecided">undecided</option>`,
  html`<optgroup label="found to be">${answeredIn(meta)}</optgroup>`,
])}
${select('judge', 'Verdict by', [
  html`<option value="">chrF, language-gated</option>`,
  ...judges(meta).map((judge) => html`<option value="${judge}">${judge}</option>`),
])}
${select('verdict', 'Verdict', [
  ANY,
  html`<option value="A">the model is better</option>`,
  html`<option value="tie">tie</option>`,
  html`<option value="B">the one beside it is better</option>`,
  html`<option value="none">none</option>`,
])}
<label class="wide">Words in ${references > 0 ? 'prompt, reference or answer' : 'prompt or answer'} <input type="search" name="words" autocomplete="off" spellcheck="false"></label>
${references > 0 && html`<label class="check"><input type="checkbox" name="references" value="shown"> Show references</label>`}
<button type="reset">Show all</button>
</form>
<p id="answers-count" role="status" class="count"></p>
<details class="no-print"><summary>Keys</summary>
<p>With the focus on an answer or a control of this part: <kbd>j</kbd> and <kbd>k</kbd> go to the next and the previous prompt,
<kbd>n</kbd> and <kbd>p</kbd> to the next and the previous page, <kbd>/</kbd> to the words. The link at a prompt leads to it in every report
that has it; the address of this page keeps the filters.</p></details>
<div id="answers-list"></div>
<nav id="answers-pages" class="pages no-print" aria-label="Pages of answers" hidden>
<button type="button" name="previous">Previous page</button>
<label>Page <input type="number" name="page" min="1" value="1" inputmode="numeric"></label>
<span id="answers-page-count"></span>
<button type="button" name="next">Next page</button>
</nav>
</section>`;
}

/** Instead of the section, where there is nothing to show. */
export function noAnswers(why: string): Html {
  return html`<section id="answers" aria-labelledby="answers-title">
<h2 id="answers-title">Answers</h2>
<p>${why}</p>
</section>`;
}

function frameNote({ before, after }: AnswersMeta['frame']): Html | false {
  if (before === '' && after === '') return false;
  return html`<details><summary>What the template puts around every prompt</summary>
<p class="text"><code>${before}</code>…<code>${after}</code></p></details>`;
}

function select(name: string, label: string, options: readonly Html[]): Html {
  return html`<label>${label} <select name="${name}">${options}</select></label>`;
}

function armOption({ arm, label }: PageModel): Html {
  return html`<option value="${arm}">${label === arm ? arm : `${label} (${arm})`}</option>`;
}

function answeredIn({ answerLanguages }: AnswersMeta): Html[] {
  return answerLanguages
    .filter(({ code }) => code !== '' && code !== 'undecided')
    .map(({ code, name }) => html`<option value="in:${code}">${name} (${code})</option>`);
}

/** By name and protocol; each may have judged several pairs. */
function judges({ verdicts }: Pick<AnswersMeta, 'verdicts'>): string[] {
  return [...new Set(verdicts.map(judgeName))].sort();
}

/** What only this part needs. */
export const answersCss = `
.filters { display: grid; grid-template-columns: repeat(auto-fill, minmax(13rem, 1fr)); gap: 0.75rem 1rem; align-items: end; }
.filters label { display: grid; gap: 0.2rem; font-size: 0.9rem; }
.filters .wide { grid-column: span 2; }
.filters select, .filters input { inline-size: 100%; min-block-size: 2.5rem; }
.filters button { min-block-size: 2.5rem; }
.filters .check { display: flex; align-items: center; min-block-size: 2.5rem; }
.filters .check input { inline-size: 1.25rem; min-block-size: 1.25rem; }
[hidden] { display: none !important; }
.count { font-weight: 600; }
.prompt { border: 1px solid var(--line); border-radius: var(--round); padding: 0.75rem 1rem; margin-block: 1rem; }
.prompt h3 { margin-block: 0 0.25rem; font-size: 1rem; }
.prompt .asked { border-inline-start: 4px solid var(--line); padding-inline-start: 0.75rem; margin-block: 0.5rem; }
.reference { margin-block: 0.5rem; }
.reference summary { font-size: 0.85rem; color: var(--quiet); }
.reference p { border-inline-start: 4px double var(--line); padding-inline-start: 0.75rem; margin-block: 0.35rem; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(17rem, 100%), 1fr)); gap: 0.75rem; padding: 0; margin: 0; list-style: none; }
.card { background: var(--panel); border: 2px solid var(--panel); border-radius: var(--round); padding: 0.5rem 0.75rem; min-inline-size: 0; }
.card.found { border-color: var(--control); }
.card h4 { margin: 0; font-size: 0.9rem; }
.card .facts { margin: 0.35rem 0 0; color: var(--quiet); font-size: 0.85rem; }
.state-wrong { color: var(--bad); font-weight: 600; }
.state-right { color: var(--good); }
.empty-answer { font-style: italic; }
.pages { display: flex; flex-wrap: wrap; gap: 0.75rem; align-items: center; }
.pages input { inline-size: 6rem; }
mark { background: var(--mark); color: inherit; }
@media (max-width: 30rem) { .filters .wide { grid-column: auto; } }
@media print { .prompt { break-inside: avoid; } .cards { grid-template-columns: repeat(2, 1fr); } }
`;
