// The report's page in a real browser, opened from the disk as its reader does: what is shown, found, reached by keys, printed, and
// read to somebody who does not see it.
import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import fc from 'fast-check';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as library from '../../lib';
import { thisProcess } from '../../lib/native/folder-lock';
import { escapeHtml } from '../../lib/page/html';
import { simulateStore } from '../../scripts/report/simulated-store.mjs';
import { hasBrowser, openBrowser } from '../support/browser';
import { scratch } from '../support/fixtures';

const axeSource = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const HOSTILE = [
  '<img src=x onerror="hacked=1"><script>hacked=1</script></script><!--',
  '"><svg/onload=hacked=1> &lt;b&gt; \u0000\u202e end',
  'a\r\nb\u2028c  d \ud800',
];
const folder = scratch();
const ready = hasBrowser();
let browser: Browser;
let address: string;

/** A page with what it said aloud; ready when the first answers are shown. */
async function open(
  url: string,
  options: BrowserContextOptions = {},
): Promise<{ page: Page; said: string[] }> {
  const page = await browser.newPage(options);
  const said: string[] = [];
  page.on('console', (message) => said.push(message.text()));
  page.on('pageerror', (error) => said.push(error.message));
  page.on('request', (request) => {
    if (!/^(file|data):/.test(request.url())) said.push(`asked for ${request.url()}`);
  });
  await page.goto(url);
  await page.locator('#answers-list article').first().waitFor();
  return { page, said };
}

const countOf = (page: Page): Promise<string | null> => page.locator('#answers-count').textContent();
const choose = (page: Page, name: string, value: string): Promise<unknown> =>
  page.locator(`#filters [name="${name}"]`).selectOption(value);

/** Waits until the count says what is expected. */
const counts = (page: Page, text: RegExp): Promise<void> =>
  expect.poll(() => countOf(page), { timeout: 10_000 }).toMatch(text);

async function faults(page: Page): Promise<string[]> {
  await page.evaluate(axeSource);
  const found = (await page.evaluate("axe.run({ resultTypes: ['violations'] })")) as {
    violations: { id: string; impact: string; nodes: { html: string }[] }[];
  };
  return found.violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .map(({ id, nodes }) => `${id}: ${nodes[0]?.html}`);
}

describe.runIf(ready)('the page of a report', () => {
  beforeAll(async () => {
    browser = await openBrowser();
    const store = await simulateStore(folder, {
      library,
      items: 12,
      seeds: 2,
      unfinished: 1,
      hostile: HOSTILE,
    });
    const results = await library.collectResults(store, 'simulated');
    const answers = await library.storedAnswers(store, 'simulated');
    await library.writeReport(results, join(folder, 'report'), { answers });
    address = pathToFileURL(join(folder, 'report', 'report.html')).href;
  });
  afterAll(() => browser?.close());

  it('opens from the disk, asks for nothing and has no complaint', async () => {
    const { page, said } = await open(address);
    expect(said).toEqual([]);
    expect(await page.title()).toBe('simulated – mlit report');
    expect(await page.locator('h1').textContent()).toBe('simulated');
    expect(await page.locator('#warnings').textContent()).toContain('not finished');
    expect(await page.locator('#answers').textContent()).toContain(
      '1 of 9 models is not finished and left out.',
    );
    const pictures = page.locator('figure img');
    expect(await pictures.count()).toBeGreaterThan(0);
    for (const picture of await pictures.all())
      expect((await picture.boundingBox())?.width).toBeGreaterThan(100);
    await page.close();
  });

  it('shows markup in prompts and answers as the text that it is', async () => {
    const { page, said } = await open(address);
    const texts = await page.locator('#answers-list .text').allInnerTexts();
    expect(texts.filter((text) => text === HOSTILE[0]).length).toBeGreaterThan(1);
    expect(await page.evaluate('typeof hacked')).toBe('undefined');
    expect(await page.locator('#answers-list img, #answers-list script, #answers-list svg').count()).toBe(0);
    expect(said).toEqual([]);
    await page.close();
  });

  it('gives back any text that was escaped', async () => {
    const codes = fc.oneof(fc.integer({ min: 0, max: 127 }), fc.integer({ min: 0, max: 0x10ffff }));
    const texts = fc
      .sample(fc.array(codes, { maxLength: 40 }), 300)
      .map((list) => String.fromCodePoint(...list));
    const page = await browser.newPage();
    const shown = await page.evaluate(
      `${JSON.stringify(texts.map(escapeHtml))}.map((markup) => {
        const parsed = new DOMParser().parseFromString('<p title="' + markup + '">' + markup + '</p>', 'text/html');
        const { textContent, title, childElementCount } = parsed.querySelector('p');
        return childElementCount === 0 && title === textContent ? textContent : 'not alike';
      })`,
    );
    expect(shown).toEqual(texts.map((text) => text.replace(/\0|\p{Surrogate}/gu, '\ufffd')));
    await page.close();
  });

  it('filters by language, model, seed, language of the answer, verdict and words, and says how many', async () => {
    const { page } = await open(address);
    expect(await countOf(page)).toBe('96 of 96 prompts, 768 of 768 answers.');
    await choose(page, 'lang', 'ar');
    await counts(page, /^12 of 96 prompts, 96 of/);
    await choose(page, 'model', 'pinch-0');
    await counts(page, /^12 of 96 prompts, 24 of/);
    await choose(page, 'seed', '1');
    await counts(page, /^12 of 96 prompts, 12 of/);
    await choose(page, 'answered', 'wrong');
    await counts(page, /^(9|1\d) of 96 prompts, \1 of/);
    expect(await page.locator('.card .facts').first().textContent()).toContain(
      '✗ in another language (English)',
    );
    await choose(page, 'beside', 'pinch-10');
    await counts(page, /Beside the other: better in \d+, tie in \d+, worse in \d+\.$/);
    await choose(page, 'verdict', 'B');
    await expect.poll(() => page.url()).toContain('verdict=B');
    const verdicts = await page.locator('.card.found strong').allTextContents();
    expect(verdicts.length).toBeGreaterThan(5);
    for (const verdict of verdicts) expect(verdict).toContain('worse');
    await page.locator('#filters [type="reset"]').click();
    await counts(page, /^96 of 96/);
    await page.locator('[name="words"]').fill('HACKED=1');
    await counts(page, /^16 of 96 prompts/);
    expect((await page.locator('mark').first().textContent())?.toLowerCase()).toBe('hacked=1');
    await page.close();
  });

  it('keeps filters and page in the address, and finds a prompt by its link', async () => {
    const { page } = await open(address);
    await choose(page, 'answered', 'wrong');
    await counts(page, /^\d\d of 96/);
    await page.locator('button[name="next"]').click();
    await expect.poll(() => page.url()).toMatch(/#answers\?answered=wrong&page=2$/);
    const shown = await page.locator('#answers-list h3 a').first().textContent();
    const link = await page.locator('#answers-list h3 a').first().getAttribute('href');
    const again = await open(page.url());
    expect(await again.page.locator('#answers-list h3 a').first().textContent()).toBe(shown);
    expect(await again.page.locator('[name="answered"]').inputValue()).toBe('wrong');
    const linked = await open(`${address}${link}`);
    await expect
      .poll(() => linked.page.evaluate('document.activeElement?.querySelector("h3 a")?.getAttribute("href")'))
      .toBe(link);
    const nowhere = await open(`${address}#at=000000000000`);
    await counts(nowhere.page, /No prompt of this report has that link/);
    for (const each of [page, again.page, linked.page, nowhere.page]) await each.close();
  });

  it('has the reference under its prompt, folded until it is asked for or has the words', async () => {
    const { page, said } = await open(`${address}#answers?lang=ar`);
    const references = page.locator('#answers-list details.reference');
    const shown = (): Promise<number> => page.locator('#answers-list details.reference[open]').count();
    expect(await references.count()).toBe(12);
    expect(await shown()).toBe(0);
    expect(await references.first().locator('p').isVisible()).toBe(false);
    await page.locator('#filters [name="references"]').check();
    await expect.poll(shown).toBe(12);
    await expect.poll(() => page.url()).toMatch(/lang=ar&references=shown$/);
    const text = references.nth(5).locator('p');
    expect(await text.getAttribute('lang')).toBe('ar');
    expect(await text.getAttribute('dir')).toBe('rtl');
    expect(await references.first().locator('p').textContent()).toBe(HOSTILE[0]);
    expect(await page.evaluate('typeof hacked')).toBe('undefined');
    expect(await faults(page)).toEqual([]);
    const words = (await text.textContent()) ?? '';
    const again = await open(page.url());
    expect(await again.page.locator('[name="references"]').isChecked()).toBe(true);
    await again.page.locator('#filters [type="reset"]').click();
    await counts(again.page, /^96 of 96/);
    await again.page.locator('[name="words"]').fill(words);
    await counts(again.page, /^1 of 96 prompts, 8 of/);
    expect(await again.page.locator('details.reference[open] mark').textContent()).toBe(words);
    expect([...said, ...again.said]).toEqual([]);
    for (const each of [page, again.page]) await each.close();
  });

  it('stays on its page where references are opened', async () => {
    const { page } = await open(`${address}#answers?page=3`);
    const title = await page.locator('#answers-list h3 a').first().textContent();
    await page.locator('#filters [name="references"]').check();
    await page.locator('details.reference[open]').first().waitFor();
    expect(await page.locator('#answers-list h3 a').first().textContent()).toBe(title);
    await page.close();
  });

  it('is gone through by keys alone', async () => {
    const { page } = await open(address);
    const focused = (): Promise<unknown> =>
      page.evaluate('document.activeElement.querySelector("h3 a")?.innerText');
    const titles = await page.locator('#answers-list h3 a').allInnerTexts();
    await page.keyboard.press('Tab');
    expect(await page.evaluate('document.activeElement.innerText')).toBe('To the content');
    await page.locator('#answers-list h3 a').first().focus();
    await page.keyboard.press('j');
    expect(await focused()).toBe(titles[1]);
    await page.keyboard.press('k');
    expect(await focused()).toBe(titles[0]);
    await page.keyboard.press('n');
    await expect.poll(focused).not.toBe(titles[0]);
    await expect.poll(() => page.url()).toMatch(/page=2$/);
    await page.keyboard.press('/');
    expect(await page.evaluate('document.activeElement.name')).toBe('words');
    await page.keyboard.type('j');
    expect(await page.locator('[name="words"]').inputValue()).toBe('j');
    expect(await page.evaluate('getComputedStyle(document.activeElement).outlineStyle')).toBe('solid');
    await page.close();
  });

  it('runs texts the way of their language, answers by the language they are in', async () => {
    const { page } = await open(`${address}#answers?lang=ar&model=pinch-0`);
    const directionOf = (selector: string): Promise<unknown> =>
      page.evaluate(`getComputedStyle(document.querySelector('${selector}')).direction`);
    expect(await directionOf('.asked')).toBe('rtl');
    expect(await directionOf('.card .text[lang="en"]')).toBe('ltr');
    await choose(page, 'model', 'pinch-100');
    await choose(page, 'answered', 'right');
    await page.locator('.card .text[lang="ar"]').first().waitFor();
    expect(await directionOf('.card .text[lang="ar"]')).toBe('rtl');
    await page.close();
  });

  it.each(['light', 'dark'] as const)(
    'has no serious fault that axe finds, in the %s',
    async (colorScheme) => {
      const { page } = await open(`${address}#answers?model=pinch-0&seed=0&answered=wrong`, { colorScheme });
      expect(await faults(page)).toEqual([]);
      const paper = await page.evaluate('getComputedStyle(document.documentElement).backgroundColor');
      expect(paper).toBe(colorScheme === 'dark' ? 'rgb(20, 23, 26)' : 'rgb(255, 255, 255)');
      await page.close();
    },
  );

  it('fits a telephone', async () => {
    const { page } = await open(`${address}#answers?model=pinch-0&seed=0`, {
      viewport: { width: 360, height: 740 },
    });
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(360);
    expect(await faults(page)).toEqual([]);
    await page.close();
  });

  it('is printed on white without its controls', async () => {
    const { page } = await open(address, { colorScheme: 'dark' });
    await page.emulateMedia({ media: 'print', colorScheme: 'dark' });
    expect(await page.evaluate('getComputedStyle(document.documentElement).backgroundColor')).toBe(
      'rgb(255, 255, 255)',
    );
    for (const control of ['#filters', '#answers-pages', 'header nav'])
      expect(await page.locator(control).isVisible()).toBe(false);
    expect(await page.locator('#answers-count').isVisible()).toBe(true);
    expect((await page.pdf()).length).toBeGreaterThan(10_000);
    await page.close();
  });
});

describe.runIf(ready)('the page of a run that goes on', () => {
  beforeAll(async () => {
    browser = await openBrowser();
  });
  afterAll(() => browser?.close());

  it('reads itself anew and keeps place and filters', async () => {
    const place = join(folder, 'live');
    const store = await simulateStore(place, { library, items: 30, unfinished: 2 });
    const progress = {
      ...thisProcess(),
      startedAt: '2026-01-01T00:00:00.000Z',
      updatedAt: '2026-01-01T00:00:10.000Z',
      experiment: 'simulated',
      job: '0',
      kind: 'measure',
      fraction: 0.5,
    };
    const say = (detail: string): void =>
      writeFileSync(join(store, 'progress.json'), JSON.stringify({ ...progress, detail }));
    say('<b>half</b>');
    const live = new library.LivePage(store, 'simulated');
    const file = join(place, 'live.html');
    expect(await live.write(file, { refreshSeconds: 3 })).toEqual({ running: true });
    const { page, said } = await open(`${pathToFileURL(file).href}#answers?lang=fi`);
    expect(await page.locator('#live').textContent()).toContain('<b>half</b>');
    expect(await page.locator('#live svg').count()).toBe(4);
    await page.evaluate('scrollTo(0, 700)');
    say('almost');
    await live.write(file, { refreshSeconds: 3 });
    await expect.poll(() => page.locator('#live').textContent(), { timeout: 15_000 }).toContain('almost');
    await page.locator('#answers-list article').first().waitFor();
    await expect.poll(() => page.evaluate('scrollY')).toBe(700);
    expect(await page.locator('[name="lang"]').inputValue()).toBe('fi');
    await page.locator('#live-pause').click();
    expect(await page.locator('#live-pause').getAttribute('aria-pressed')).toBe('true');
    expect(await faults(page)).toEqual([]);
    expect(said).toEqual([]);
    await page.close();
  });
});
