// The pictures of docs/reports/: a report of simulated models, in the light, in the dark, and among Arabic answers.
// `npm run setup && node scripts/report/screenshots.mjs`
import { mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import * as library from '../../dist/index.js';
import { openBrowser } from './chromium.mjs';
import { simulateStore } from './simulated-store.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));
const MOST_BYTES = 150_000;

const SHOTS = [
  { name: 'light', scheme: 'light', place: '', part: '#figures' },
  { name: 'dark', scheme: 'dark', place: '', part: '#tables' },
  {
    name: 'arabic',
    scheme: 'light',
    place: '#answers?lang=ar&model=pinch-0&beside=pinch-10&answered=wrong',
    part: '#answers',
  },
];

const folder = mkdtempSync(join(tmpdir(), 'mlit-screenshots-'));
const browser = await openBrowser();
try {
  const store = await simulateStore(folder, { library, items: 60, seeds: 2 });
  const results = await library.collectResults(store, 'simulated');
  const answers = await library.storedAnswers(store, 'simulated');
  await library.writeReport(results, join(folder, 'report'), { answers });
  const address = pathToFileURL(join(folder, 'report', 'report.html')).href;
  mkdirSync(join(root, 'docs', 'reports'), { recursive: true });
  for (const { name, scheme, place, part } of SHOTS) {
    const page = await browser.newPage({ colorScheme: scheme, viewport: { width: 1000, height: 640 } });
    await page.goto(`${address}${place}`);
    await page.locator('#answers-list article').first().waitFor();
    await page.locator(part).evaluate((element) => element.scrollIntoView({ behavior: 'instant' }));
    const path = join(root, 'docs', 'reports', `${name}.png`);
    await page.screenshot({ path });
    const { size } = statSync(path);
    if (size > MOST_BYTES) throw new Error(`${path} has ${size} bytes, more than ${MOST_BYTES}`);
    console.log(`${path}: ${size} bytes`);
    await page.close();
  }
} finally {
  await browser.close();
  rmSync(folder, { recursive: true, force: true });
}
