// `npm run bench -- page`: every suite of docs/benchmarks.md in turn, each with its raw result in bench/results/page/, and the page from those
// files alone. A suite that can't be run is left out with its reason; the others go on.
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { root, SetupError } from '../scripts/setup/common.mjs';
import { readResults, writePage } from './page/files.mjs';
import { SECTIONS } from './page/markdown.mjs';
import { describeMachine, say, writeJson } from './report.mjs';
import { benchSample } from './sample.mjs';
import { benchScaling } from './scaling.mjs';
import { benchSmol } from './smol.mjs';
import { benchStart } from './start.mjs';
import { benchTogether } from './together.mjs';
import { benchTrain } from './train.mjs';

/** What is run for each part of the page, and how much of it: sizes that fit into some seventy minutes, and sizes that only try everything. */
const SUITES = {
  train: {
    run: benchTrain,
    full: { records: 24, rounds: 2, maxLength: 512 },
    quick: { records: 4, rounds: 1, maxLength: 96 },
  },
  full: {
    run: benchTrain,
    full: { lineup: 'full', records: 16, rounds: 1, maxLength: 512 },
    quick: { lineup: 'full', records: 4, rounds: 1, maxLength: 96 },
  },
  smol: {
    run: benchSmol,
    full: { records: 24, rounds: 2, maxLength: 512 },
    quick: { records: 4, rounds: 1, maxLength: 96 },
  },
  sample: {
    run: benchSample,
    full: {
      rounds: 3,
      maxLength: 512,
      loads: [
        { prompts: 32, newTokens: 32 },
        { prompts: 128, newTokens: 16, rounds: 1 },
      ],
    },
    quick: { rounds: 1, maxLength: 96, loads: [{ prompts: 4, newTokens: 4 }] },
  },
  together: {
    run: benchTogether,
    full: {
      rounds: 1,
      cases: [
        { tokens: 480, steps: 2, compute: 'f32' },
        { tokens: 96, steps: 6, compute: 'f32' },
        { tokens: 480, steps: 2, compute: 'int8' },
        { tokens: 96, steps: 6, compute: 'int8' },
      ],
    },
    quick: { rounds: 1, runs: 2, cases: [{ tokens: 96, steps: 1, compute: 'int8' }] },
  },
  start: { run: benchStart, full: { rounds: 3, maxLength: 512 }, quick: { rounds: 1, maxLength: 96 } },
  scaling: { run: benchScaling, full: { rounds: 1, isQuick: false }, quick: { rounds: 1, isQuick: true } },
};

/** Every object within a result. */
function* objectsOf(value) {
  if (typeof value !== 'object' || value === null) return;
  yield value;
  for (const each of Object.values(value)) yield* objectsOf(each);
}

/** Versions that the contestants told. */
function versionsOf(result) {
  const versions = {};
  for (const each of objectsOf(result)) Object.assign(versions, each.versions);
  return versions;
}

/** Contestants of a result that did not get their processors. */
function disturbedOf(result) {
  const shared = [...objectsOf(result)].filter(({ cpuShare }) => cpuShare < 0.85);
  return [...new Set(shared.map(({ name }) => name))];
}

/** Runs a suite and keeps what it says, or why it says nothing. */
async function take(name, { options, quick, command, folder }) {
  const { run, [quick ? 'quick' : 'full']: sizes } = SUITES[name];
  const settings = { threads: options.threads, rank: options.rank, ...sizes };
  const begun = performance.now();
  const about = {
    command,
    taken: new Date().toISOString().slice(0, 10),
    machine: describeMachine(),
    settings,
  };
  let result;
  try {
    result = (await run({ ...options, ...sizes })) ?? {
      leftOut: 'its contestants failed; the command has said how',
    };
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    say(`${name}: left out. ${error.message}`);
    result = { leftOut: error.message.split('\n')[0] };
  }
  const seconds = (performance.now() - begun) / 1000;
  const told = { versions: versionsOf(result), disturbed: disturbedOf(result) };
  writeJson(join(folder, `${name}.json`), { ...about, ...(quick && { quick }), seconds, ...told, ...result });
}

/** @param {{ quick: boolean, fromResults: boolean, only: string[], command: string }} how */
export async function benchPage(options, { quick, fromResults, only, command }) {
  const place = quick ? join(root, 'runs', 'bench', 'page') : root;
  const folder = quick ? join(place, 'results') : join(root, 'bench', 'results', 'page');
  const page = quick ? join(place, 'benchmarks.md') : join(root, 'docs', 'benchmarks.md');
  if (!fromResults) {
    for (const { name, title } of SECTIONS) {
      if (only.length > 0 && !only.includes(name)) continue;
      say(`\n== ${title}`);
      await take(name, { options, quick, command, folder });
    }
  }
  const { renderFigure } = await import('../dist/index.js');
  await writePage({ results: readResults(folder), page, render: renderFigure });
  say(`Written: ${page}`);
}

export const pageParts = SECTIONS.map(({ name }) => name);
