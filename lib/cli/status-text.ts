// How far an experiment is, for people: a block for a terminal, or a line for a log.
import { JOB_KINDS } from '../experiment/job';
import type { TrainingView } from '../experiment/live';
import type { ExperimentStatus } from '../experiment/status';
import { printable } from '../native/untrusted';
import { clock } from './output';

/** Trainings that are shown one by one. */
const MOST_SHOWN = 12;
const BARS = '▁▂▃▄▅▆▇█';
/** Characters of a curve. */
const CURVE = 24;

/** Several lines, of an experiment with its trainings that have begun. */
export function describeStatus(status: ExperimentStatus, trainings: readonly TrainingView[]): string {
  const { name, protocol, models, total, finished } = status;
  const kinds = JOB_KINDS.filter((kind) => status.jobs[kind].total > 0)
    .map((kind) => `${kind} ${status.jobs[kind].finished}/${status.jobs[kind].total}`)
    .join('  ');
  const running = trainings.filter(({ state }) => state === 'begun');
  const shown = running.slice(0, MOST_SHOWN);
  const widest = Math.max(0, ...shown.map((training) => modelsOf(training).length));
  return [
    printable(`${name} (${protocol}): ${models} models, ${finished} of ${total} jobs done`),
    `  ${kinds}`,
    ...nowOf(status).map((line) => `  ${line}`),
    ...shown.map((training) => `    ${modelsOf(training).padEnd(widest)}  ${trainingText(training)}`),
    ...(running.length > shown.length ? [`    … and ${running.length - shown.length} more`] : []),
    '',
  ].join('\n');
}

/** The same in one line, without curves. */
export function statusLine(status: ExperimentStatus, trainings: readonly TrainingView[]): string {
  const { name, total, finished } = status;
  const losses = trainings
    .filter(({ state, loss }) => state === 'begun' && loss !== undefined)
    .map((training) => `${modelsOf(training)} loss ${training.loss?.toFixed(3)}`);
  const parts = [
    `${finished}/${total} jobs`,
    ...nowOf(status).map((line) => line.trim()),
    ...losses.slice(0, 4),
  ];
  return printable(`${name}: ${parts.join('; ')}`);
}

function nowOf({ total, finished, secondsTaken, secondsLeft, now }: ExperimentStatus): string[] {
  const left = clock(secondsLeft ?? Number.NaN);
  if (finished === total) return [`finished in ${clock(secondsTaken)} of work`];
  if (!now?.alive) return [`nothing runs; \`mlit experiment run\` goes on, about ${left} left`];
  return [
    printable(`now: ${now.kind} ${Math.round(now.fraction * 100)} %  ${now.detail}`),
    `${clock(secondsTaken)} of work done, about ${left} left`,
  ];
}

/** `step 12/60  loss 2.310 ▇▆▅▃▂  512 tokens/s` */
function trainingText({ step, steps, loss, losses, tokensPerSecond, dev }: TrainingView): string {
  const parts = [
    `step ${step}/${steps ?? '?'}`,
    ...(loss === undefined ? [] : [`loss ${loss.toFixed(3)} ${curveOf(losses.map((point) => point.loss))}`]),
    ...(dev.length === 0 ? [] : [`dev ${dev.at(-1)!.loss.toFixed(3)}`]),
    ...(tokensPerSecond === undefined ? [] : [`${tokensPerSecond.toFixed(0)} tokens/s`]),
  ];
  return parts.join('  ');
}

const modelsOf = ({ models }: TrainingView): string => {
  const text = printable(models.join(', '));
  return text.length > 40 ? `${text.slice(0, 39)}…` : text;
};

/** Values as bars, from the lowest to the highest of them; empty for fewer than two. */
export function curveOf(values: readonly number[]): string {
  const finite = values.filter((value) => Number.isFinite(value));
  if (finite.length < 2) return '';
  const count = Math.min(CURVE, finite.length);
  const taken = Array.from(
    { length: count },
    (_, at) => finite[Math.floor((at * (finite.length - 1)) / (count - 1))]!,
  );
  const [low, high] = [Math.min(...taken), Math.max(...taken)];
  const reach = high - low || 1;
  return taken
    .map((value) => BARS[Math.min(BARS.length - 1, Math.floor(((value - low) / reach) * BARS.length))])
    .join('');
}
