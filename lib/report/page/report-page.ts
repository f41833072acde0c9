// The report as one HTML file: what was asked, what has to be known before the numbers, the numbers, the answers themselves, and of
// what they all are. It opens from the disk, fetches nothing, and is the same page while a run goes on.
import type { ExperimentResults } from '../../experiment/results';
import { clientScript } from '../../page/client-script';
import { pageDocument } from '../../page/document';
import { type Html, html } from '../../page/html';
import { readingNotes } from '../reading';
import type { AnswersPart } from './answers-part';
import { answersCss } from './answers-section';
import { liveCss } from './live-section';
import { inlineMarkdown } from './markdown-html';
import { figureSection, provenanceSection, resultsCss, setUpSection, tableSection } from './results-sections';

/** What a page is put together from; a part that is not there has no section. */
export interface ReportPageParts {
  /** The experiment's name. */
  title: string;
  results?: ExperimentResults | undefined;
  /** By the figures' ids. */
  svgs?: ReadonlyMap<string, string>;
  /** What goes on now. */
  live?: Html | undefined;
  /** The answers' section, with its packed blocks behind it. */
  answers?: AnswersPart | undefined;
}

/** The page as text; equal parts give equal bytes. */
export function reportPage({ title, results, svgs = new Map(), live, answers }: ReportPageParts): string {
  const parts = [
    { id: 'live', name: 'Now', there: live !== undefined },
    { id: 'warnings', name: 'Warnings', there: (results?.warnings.length ?? 0) > 0 },
    { id: 'set-up', name: 'Set-up', there: results !== undefined },
    { id: 'figures', name: 'Figures', there: (results?.figures.length ?? 0) > 0 },
    { id: 'tables', name: 'Tables', there: (results?.tables.length ?? 0) > 0 },
    { id: 'answers', name: 'Answers', there: answers !== undefined },
    { id: 'provenance', name: 'Provenance', there: results !== undefined },
  ].filter(({ there }) => there);
  const body = html`<a class="skip no-print" href="#content">To the content</a>
<header>
<h1>${title}</h1>
${results && html`<p class="question">${results.question.trim()}</p>`}
<nav class="no-print" aria-label="Parts of this report"><ul>${parts.map(({ id, name }) => html`<li><a href="#${id}">${name}</a></li>`)}</ul></nav>
</header>
<main id="content" tabindex="-1">
${live}
${results && before(results)}
${
  results &&
  results.figures.length > 0 &&
  html`<section id="figures" aria-labelledby="figures-title">
<h2 id="figures-title">Figures</h2>
${results.figures.map((figure) => figureSection(figure, svgs.get(figure.id) ?? ''))}</section>`
}
${
  results &&
  results.tables.length > 0 &&
  html`<section id="tables" aria-labelledby="tables-title">
<h2 id="tables-title">Tables</h2>
${results.tables.map(tableSection)}</section>`
}
${answers?.section}
${results && provenanceSection(results)}
</main>
${answers?.blocks}`;
  return pageDocument({
    lang: 'en',
    title: `${title} – mlit report`,
    css: `${pageCss}${resultsCss}${liveCss}${answersCss}`,
    body,
    script: clientScript('report'),
  });
}

/** What has to be known before the numbers. */
function before(results: ExperimentResults): Html {
  return html`${
    results.warnings.length > 0 &&
    html`<section id="warnings" class="warnings" aria-labelledby="warnings-title">
<h2 id="warnings-title">Warnings</h2>
<ul>${results.warnings.map((warning) => html`<li>${inlineMarkdown(warning)}</li>\n`)}</ul>
</section>`
  }
${setUpSection(results)}
<section aria-labelledby="reading-title">
<h2 id="reading-title">How to read the numbers</h2>
<ul>${readingNotes(results).map((note) => html`<li>${inlineMarkdown(note)}</li>\n`)}</ul>
</section>`;
}

const pageCss = `
header, main { max-inline-size: 80rem; margin-inline: auto; padding-inline: 1rem; }
header { padding-block-start: 1.5rem; }
main { padding-block-end: 4rem; }
main:focus { outline: none; }
.question { font-size: 1.15rem; max-inline-size: 75ch; }
header nav ul { display: flex; flex-wrap: wrap; gap: 0.5rem 1.25rem; padding: 0; margin: 0; list-style: none; }
header nav a { display: inline-block; padding-block: 0.35rem; }
.warnings { border-inline-start: 6px solid var(--bad); padding-inline-start: 1rem; }
main > section > p, main > section > ul { max-inline-size: 75ch; }
`;
