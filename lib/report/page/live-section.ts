// What goes on, on the page: how far the jobs are, how long it will take, and every training's losses as a curve and in numbers.
import { JOB_KINDS } from '../../experiment/job';
import type { TrainingView } from '../../experiment/live';
import type { ExperimentStatus } from '../../experiment/status';
import { languageAttributes } from '../../page/direction';
import { type Html, html } from '../../page/html';
import { formatNumber } from '../numbers';

/** What a run is doing, from a store's files. */
export interface LiveState {
  status: ExperimentStatus;
  trainings: readonly TrainingView[];
  /** Seconds between two readings of the page by a browser; absent: it does not read itself anew. */
  refreshSeconds?: number | undefined;
}

export function liveSection({ status, trainings, refreshSeconds }: LiveState): Html {
  const { finished, total, secondsLeft, now } = status;
  const alive = now?.alive === true;
  const kinds = JOB_KINDS.filter((kind) => status.jobs[kind].total > 0);
  const state =
    finished === total
      ? 'The experiment is finished.'
      : alive
        ? `Running: ${now.kind}, ${Math.round(100 * now.fraction)} % of it. ${now.detail}`
        : 'Nothing runs; mlit experiment run goes on where it stopped.';
  const left = finished === total || secondsLeft === null ? '' : ` About ${duration(secondsLeft)} left.`;
  return html`<section id="live" aria-labelledby="live-title"${refreshSeconds !== undefined && html` data-refresh="${refreshSeconds}"`}>
<h2 id="live-title">Now</h2>
<p>${state}${left}${now && ` As of ${now.updatedAt}.`}</p>
<p><label>Jobs <progress max="${total}" value="${finished}">${finished} of ${total}</progress></label> ${finished} of ${total} done</p>
${
  refreshSeconds !== undefined &&
  html`<p class="no-print"><button type="button" id="live-pause" aria-pressed="false" hidden>Pause</button> This page is read anew every ${refreshSeconds} seconds while nobody uses it.</p>`
}
<div class="scroll" tabindex="0" role="region" aria-label="Jobs by kind"><table>
<thead><tr><th scope="col">jobs</th>${kinds.map((kind) => html`<th scope="col" class="number">${kind}</th>`)}</tr></thead>
<tbody><tr><th scope="row">done</th>${kinds.map((kind) => html`<td class="number">${status.jobs[kind].finished} of ${status.jobs[kind].total}</td>`)}</tr></tbody>
</table></div>
${trainings.length > 0 && trainingsTable(trainings)}
${trainings.some(({ answers }) => answers.length > 0) && devAnswers(trainings)}
</section>`;
}

function trainingsTable(trainings: readonly TrainingView[]): Html {
  const highest = Math.max(...trainings.flatMap(({ losses }) => losses.map(({ loss }) => loss)), 0);
  return html`<h3 id="trainings-title">Trainings</h3>
<div class="scroll" tabindex="0" role="region" aria-labelledby="trainings-title"><table>
<thead><tr><th scope="col">model</th><th scope="col">state</th><th scope="col" class="number">step</th><th scope="col" class="number">loss (last ten steps)</th><th scope="col" class="number">tokens/s</th><th scope="col" class="number">dev loss</th><th scope="col">loss by step, from 0 to ${formatNumber(highest, 2)}</th></tr></thead>
<tbody>
${trainings.map((training) => trainingRow(training, highest))}</tbody>
</table></div>`;
}

function trainingRow(training: TrainingView, highest: number): Html {
  const { models, state, step, steps, loss, tokensPerSecond, dev } = training;
  const number = (value: number | undefined, digits: number): string =>
    value === undefined ? '' : formatNumber(value, digits);
  return html`<tr><th scope="row">${models.join(', ')}</th><td>${state}</td><td class="number">${step}${steps !== undefined && ` of ${steps}`}</td><td class="number">${number(loss, 3)}</td><td class="number">${number(tokensPerSecond, 0)}</td><td class="number">${number(dev.at(-1)?.loss, 3)}</td><td>${curve(training, highest)}</td></tr>
`;
}

/** What the models say to the same few dev records, as far as they are trained. */
function devAnswers(trainings: readonly TrainingView[]): Html {
  const rows = trainings.flatMap(({ models, dev, answers }) =>
    answers.map((answer) => ({ models: models.join(', '), step: dev.at(-1)?.step ?? 0, ...answer })),
  );
  const text = (lang: string, words: string): Html => {
    const { lang: code, dir } = languageAttributes(lang);
    return html`<td><div class="text" lang="${code}" dir="${dir}">${words}</div></td>`;
  };
  return html`<details><summary>What they say to dev records, as far as they are trained</summary>
<div class="scroll" tabindex="0" role="region" aria-label="Answers to dev records"><table>
<thead><tr><th scope="col">model</th><th scope="col" class="number">step</th><th scope="col">prompt</th><th scope="col">answer</th></tr></thead>
<tbody>
${rows.map(
  ({ models, step, lang, prompt, response }) =>
    html`<tr><th scope="row">${models}</th><td class="number">${step}</td>${text(lang, prompt)}${text('und', response)}</tr>\n`,
)}</tbody>
</table></div></details>`;
}

const WIDTH = 240;
const HEIGHT = 48;

/** A small picture: losses as a line, dev scores as rings. */
function curve({ losses, dev, steps, step }: TrainingView, highest: number): Html {
  const first = losses[0];
  const last = losses.at(-1);
  if (first === undefined || last === undefined) return html``;
  const most = Math.max(steps ?? step, 1);
  const x = (at: number): string => ((at / most) * WIDTH).toFixed(1);
  const y = (loss: number): string =>
    (HEIGHT - 2 - (Math.min(loss, highest) / (highest || 1)) * (HEIGHT - 4)).toFixed(1);
  const finite = losses.filter(({ loss }) => Number.isFinite(loss));
  const words = `Loss ${formatNumber(first.loss, 2)} at step ${first.step}, ${formatNumber(last.loss, 2)} at step ${last.step}`;
  return html`<svg class="curve" viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" height="${HEIGHT}" role="img" aria-label="${words}"><polyline fill="none" stroke="currentColor" stroke-width="1.5" points="${finite.map((point) => `${x(point.step)},${y(point.loss)}`).join(' ')}"/>${dev
    .filter(({ loss }) => Number.isFinite(loss))
    .map(
      (point) =>
        html`<circle fill="none" stroke="currentColor" cx="${x(point.step)}" cy="${y(point.loss)}" r="2.5"/>`,
    )}</svg>`;
}

/** 3725 → `1 h 2 min`, 65 → `1 min`, 20 → `20 s`. */
function duration(seconds: number): string {
  if (!Number.isFinite(seconds)) return 'an unknown time';
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  const minutes = Math.round(whole / 60);
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** What only this part needs. */
export const liveCss = `
progress { inline-size: min(20rem, 60%); block-size: 1rem; vertical-align: middle; }
.curve { color: var(--accent); border-block-end: 1px solid var(--line); }
`;
