// docs/annotate/page.png: the page of `mlit annotate` with an invented task. Wants a build and a Chromium: node scripts/annotate/screenshot.mjs
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openBrowser } from '../report/chromium.mjs';
import { root } from '../setup/common.mjs';

const { makeAnnotationTask, serveAnnotation, writeAnnotationTask } = await import(
  join(root, 'dist', 'index.js')
);

const QUESTIONS = [
  [
    'كيف أحفظ الخبز طازجا عدة أيام؟',
    'ضع الخبز في كيس من القماش أو في علبة خبز، بعيدا عن الشمس والرطوبة.\n\nإذا أردت حفظه أكثر من ثلاثة أيام فقطّعه وجمّده، ثم سخّن القطع قبل الأكل. لا تضعه في الثلاجة لأنه يجف فيها أسرع.',
    'يمكنك حفظ الخبز في الثلاجة. الخبز طعام مهم في كثير من البلدان، وهناك أنواع كثيرة منه. احفظ الخبز جيدا ليبقى طازجا.',
  ],
  ['ما هي عاصمة فنلندا؟', 'هلسنكي.', 'عاصمة فنلندا هي هلسنكي.'],
  ['اكتب جملة عن المطر.', 'هطل المطر طوال الليل.', 'المطر ماء.'],
];

const prompts = QUESTIONS.map(([question], at) => ({
  id: `q${at}`,
  lang: 'ar',
  turns: [{ role: 'user', content: question }],
  source: { file: 'invented', line: at + 1 },
}));
const answersOf = (side) =>
  QUESTIONS.map((texts, at) => ({
    id: `q${at}`,
    lang: 'ar',
    sample: 0,
    response: texts[side],
    tokens: [],
    finishReason: '',
  }));
const { task } = makeAnnotationTask({
  models: [1, 2].map((side) => ({
    name: `model-${side}`,
    file: 'invented',
    sha256: '',
    answers: answersOf(side),
  })),
  prompts,
  promptsFile: { file: 'invented', sha256: '' },
});

const folder = mkdtempSync(join(tmpdir(), 'mlit-screenshot-'));
await writeAnnotationTask(folder, task);
const server = await serveAnnotation(folder, { person: 'Ana' });
const browser = await openBrowser();
try {
  const page = await browser.newPage({
    viewport: { width: 1000, height: 620 },
    colorScheme: 'light',
    reducedMotion: 'reduce',
  });
  await page.goto(server.urls[0]);
  await page.getByRole('button', { name: 'Start' }).click();
  const wanted = page.locator('.prompt', { hasText: QUESTIONS[0][0] });
  for (let at = 0; at < QUESTIONS.length && !(await wanted.isVisible()); at += 1) {
    await page.keyboard.press('t');
    await page.locator('#said', { hasText: 'Saved' }).waitFor();
  }
  await page.screenshot({ path: join(root, 'docs', 'annotate', 'page.png') });
} finally {
  await browser.close();
  await server.close();
  rmSync(folder, { recursive: true, force: true });
}
