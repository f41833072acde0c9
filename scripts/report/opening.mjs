// How long a report of so many answers takes to open: from the address to the first answers on the screen, in a browser that has
// never seen the file, median of five. `node scripts/report/opening.mjs [ANSWERS]`, 100,000 by default.
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { openBrowser } from './chromium.mjs';
import { LANGUAGES, simulateStore } from './simulated-store.mjs';

const ROUNDS = 5;
/** Arms of the simulated experiment, the untuned model among them. */
const MODELS = 5;

/**
 * Writes the report and opens it again and again.
 *
 * @returns {Promise<{ answers: number, fileMegabytes: number, writeSeconds: number, openSeconds: number[], searchSeconds: number }>}
 */
export async function measureOpening(library, answers) {
  const folder = mkdtempSync(join(tmpdir(), 'mlit-report-'));
  const browser = await openBrowser();
  try {
    const items = Math.ceil(answers / MODELS / LANGUAGES.length);
    const store = await simulateStore(folder, { library, items, words: 60 });
    const results = await library.collectResults(store, 'simulated');
    const started = performance.now();
    const stored = await library.storedAnswers(store, 'simulated');
    await library.writeReport(results, join(folder, 'report'), { answers: stored });
    const writeSeconds = (performance.now() - started) / 1000;
    const file = join(folder, 'report', 'report.html');
    const openSeconds = [];
    let searchSeconds = 0;
    for (let round = 0; round < ROUNDS; round += 1) {
      const context = await browser.newContext();
      const page = await context.newPage();
      const from = performance.now();
      await page.goto(pathToFileURL(file).href, { waitUntil: 'commit' });
      await page.locator('#answers-list article').first().waitFor();
      openSeconds.push((performance.now() - from) / 1000);
      if (round === 0) {
        const asked = performance.now();
        await page.locator('[name="words"]').fill('no such words');
        await page.locator('#answers-count', { hasText: /^0 of/ }).waitFor({ timeout: 60_000 });
        searchSeconds = (performance.now() - asked) / 1000;
      }
      await context.close();
    }
    openSeconds.sort((a, b) => a - b);
    const shown = items * LANGUAGES.length * MODELS;
    return {
      answers: shown,
      fileMegabytes: statSync(file).size / 1e6,
      writeSeconds,
      openSeconds,
      searchSeconds,
    };
  } finally {
    await browser.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** In a sentence. */
export function describeOpening({ answers, fileMegabytes, writeSeconds, openSeconds, searchSeconds }) {
  const seconds = (value) => value.toFixed(2);
  return (
    `${answers.toLocaleString('en-US')} answers, ${fileMegabytes.toFixed(1)} MB: opened in ${seconds(openSeconds[2])} s ` +
    `(${openSeconds.map(seconds).join(', ')}), all texts searched in ${seconds(searchSeconds)} s, written in ${seconds(writeSeconds)} s`
  );
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const library = await import('../../dist/index.js');
  console.log(describeOpening(await measureOpening(library, Number(process.argv[2] ?? 100_000))));
}
