// The page as people meet it, in a browser: by keys alone, on a phone, in the dark, from right to left, and by what axe knows of
// screen readers.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import type { Browser, BrowserContext, BrowserContextOptions, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import {
  type AnnotationServer,
  type ServeAnnotationOptions,
  serveAnnotation,
} from '../../lib/annotate/serve';
import { writeAnnotationTask } from '../../lib/annotate/task';
import { lastWords } from '../../lib/eval/people';
import { readVerdicts, type VerdictLine } from '../../lib/eval/verdicts';
import { HOSTILE, type TaskOptions, taskOf } from '../support/annotation';
import { hasBrowser, openBrowser } from '../support/browser';
import { scratch } from '../support/fixtures';

const axeSource = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const folder = scratch();
let browser: Browser;
let count = 0;
const servers: AnnotationServer[] = [];
const contexts: BrowserContext[] = [];

interface Opened {
  path: string;
  url: string;
  page: Page;
  faults: string[];
}

async function serve(path: string, options: ServeAnnotationOptions = {}): Promise<AnnotationServer> {
  const server = await serveAnnotation(path, options);
  servers.push(server);
  return server;
}

async function openWindow(
  url: string,
  options: BrowserContextOptions = {},
): Promise<{ page: Page; faults: string[] }> {
  const context = await browser.newContext({ reducedMotion: 'reduce', ...options });
  contexts.push(context);
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  const faults: string[] = [];
  page.on('pageerror', (error) => faults.push(String(error)));
  page.on('console', (message) => message.type() === 'error' && faults.push(message.text()));
  await page.goto(url);
  return { page, faults };
}

async function open(task: TaskOptions = {}, options: BrowserContextOptions = {}): Promise<Opened> {
  count += 1;
  const path = join(folder, `task${count}`);
  await writeAnnotationTask(path, taskOf(task));
  const { urls } = await serve(path);
  return { path, url: urls[0]!, ...(await openWindow(urls[0]!, options)) };
}

/** Fills in the form as keys do. */
async function begin(page: Page, name = 'Ana'): Promise<void> {
  await page.getByLabel('Your name or initials').waitFor();
  await page.keyboard.type(name);
  for (const box of await page.getByRole('checkbox').all()) {
    await page.keyboard.press('Tab');
    if (!(await box.isChecked())) await page.keyboard.press('Space');
  }
  await page.keyboard.press('Enter');
  await where(page, /Question 1 of/);
}

const where = (page: Page, text: RegExp): Promise<void> =>
  page.locator('#where').filter({ hasText: text }).waitFor();
const said = (page: Page, text: RegExp): Promise<void> =>
  page.locator('#said').filter({ hasText: text }).waitFor();
const verdicts = async (path: string): Promise<VerdictLine[]> =>
  lastWords(await readVerdicts(join(path, 'verdicts.jsonl')));

async function axe(page: Page): Promise<string[]> {
  // The page's own policy keeps strangers' scripts out, so axe comes by way of the debugger.
  await page.evaluate(axeSource);
  const { violations } = await page.evaluate<{ violations: { id: string; impact: string; help: string }[] }>(
    'axe.run()',
  );
  return violations.map(({ id, impact, help }) => `${impact}: ${id}: ${help}`);
}

describe.runIf(hasBrowser())('the page', () => {
  beforeAll(async () => {
    browser = await openBrowser();
  });
  afterAll(() => browser?.close());
  afterEach(async () => {
    for (const context of contexts.splice(0)) await context.close();
    for (const server of servers.splice(0)) await server.close();
  });

  it('takes answers by keys alone, undoes, and goes on where it was after a reload', async () => {
    const { page, path, faults } = await open({ items: 4 });
    await begin(page);
    for (const [at, key] of ['a', 'b', 'n', 'a', 't'].entries()) {
      await page.keyboard.press(key);
      await where(page, new RegExp(`Question ${at + 2} of 8`));
    }
    await said(page, /Saved: equally good/);
    expect(await page.evaluate('document.activeElement.id')).toBe('where');
    const five = await verdicts(path);
    expect(five).toHaveLength(5);
    // What was chosen is what stood there, by the order that is on record.
    expect(five[0]!.verdict).toBe(five[0]!.order[0]);
    expect(five[1]!.verdict).toBe(five[1]!.order[1]);
    expect(five[2]).toMatchObject({ verdict: null, reason: 'cannot say' });

    await page.keyboard.press('u');
    await where(page, /Question 5 of 8/);
    await said(page, /Taken back/);
    expect(await verdicts(path)).toHaveLength(4);
    await page.keyboard.press('ArrowLeft');
    await where(page, /Question 4 of 8/);
    expect(await page.getByRole('button', { name: /First is/ }).getAttribute('aria-pressed')).toBe('true');
    await page.keyboard.press('b');
    await where(page, /Question 5 of 8/);
    await said(page, /Saved: the second is better/);

    await page.reload();
    await where(page, /Question 5 of 8/);
    expect(await page.locator('#progress').textContent()).toContain('4 of 8 answered');
    expect(faults).toEqual([]);
  });

  it('shows texts as they are, each in the direction of its language, and runs none of them', async () => {
    const { page, faults } = await open({ items: 1, languages: ['en', 'ar', 'he'] });
    await begin(page);
    const ways = `[...document.querySelectorAll('.text')].map((text) => text.lang + ' ' + text.dir + ' ' + getComputedStyle(text).direction)`;
    const seen = new Set<string>();
    for (const place of [1, 2, 3]) {
      await where(page, new RegExp(`Question ${place} of 3`));
      for (const text of await page.locator('.text').all()) {
        expect(await text.locator('*').count()).toBe(0);
      }
      for (const way of await page.evaluate<string[]>(ways)) seen.add(way);
      const answer = page.locator('.answers .text').first();
      expect(await answer.textContent()).toMatch(/\n {2}\S/);
      if ((await answer.getAttribute('lang')) === 'en') expect(await answer.textContent()).toContain(HOSTILE);
      await page.keyboard.press('ArrowRight');
    }
    expect(seen).toEqual(new Set(['en ltr ltr', 'ar rtl rtl', 'he rtl rtl']));
    expect(await page.title()).toBe('Which answer is better?');
    expect(faults).toEqual([]);
  });

  it('tells a second window of the same person what the first one answered, and overwrites nothing', async () => {
    const { page, url, path } = await open({ items: 3, languages: ['en'] });
    await begin(page);
    const { page: other } = await openWindow(url);
    await begin(other, 'ana');
    await page.keyboard.press('a');
    await said(page, /Saved: the first/);
    await other.keyboard.press('b');
    await said(other, /You answered this one in another window: the first is better/);
    await where(other, /Question 1 of 3/);
    expect(await verdicts(path)).toHaveLength(1);
    await other.keyboard.press('b');
    await said(other, /Saved: the second/);
    const [only] = await verdicts(path);
    expect(only!.verdict).toBe(only!.order[1]);
    await page.evaluate(`document.dispatchEvent(new Event('visibilitychange'))`);
    await said(page, /1 answer came in from another window/);
  });

  it('keeps answers while the server is away, and sends them to the one that comes after', async () => {
    const { page, url, path } = await open({ items: 3, languages: ['en'] });
    await begin(page);
    await page.keyboard.press('a');
    await said(page, /Saved/);
    await servers.pop()!.close();
    await page.keyboard.press('a');
    await said(page, /Not saved yet/);
    await page.keyboard.press('t');
    await where(page, /All answered/);
    await serve(path, { port: Number(new URL(url).port) });
    await said(page, /Saved: equally good/);
    expect(await verdicts(path)).toHaveLength(3);
  });

  it('takes the place of a key where the keyboard writes another alphabet', async () => {
    const { page } = await open({ items: 2, languages: ['en'] });
    await begin(page);
    await page.evaluate(
      `document.body.dispatchEvent(new KeyboardEvent('keydown', { key: 'ش', code: 'KeyA', bubbles: true }))`,
    );
    await said(page, /Saved: the first/);
    await page.getByLabel('Answer by keys').uncheck();
    await page.keyboard.press('b');
    await page.keyboard.press('ArrowRight');
    await where(page, /Question 2 of 2/);
  });

  it.each(['light', 'dark'] as const)('has no serious fault for axe in the %s', async (colorScheme) => {
    const { page } = await open({ items: 2, languages: ['en', 'ar'] }, { colorScheme });
    await page.getByLabel('Your name or initials').waitFor();
    expect(await axe(page)).toEqual([]);
    await begin(page);
    await page.keyboard.press('a');
    await said(page, /Saved/);
    for (const details of await page.locator('summary').all()) await details.click();
    expect(await axe(page)).toEqual([]);
    await page.keyboard.press('ArrowLeft');
    expect(await axe(page)).toEqual([]);
    for (let question = 0; question < 3; question += 1) await page.keyboard.press('ArrowRight');
    expect(await page.evaluate('getComputedStyle(document.documentElement).backgroundColor')).toBe(
      colorScheme === 'dark' ? 'rgb(20, 23, 26)' : 'rgb(255, 255, 255)',
    );
  });

  it('fits a phone, and is answered by touch', async () => {
    const { page, path } = await open(
      { items: 2, languages: ['ar'] },
      { viewport: { width: 320, height: 568 }, hasTouch: true, isMobile: true },
    );
    await page.getByLabel('Your name or initials').fill('Ana');
    await page.getByRole('button', { name: 'Start' }).tap();
    await where(page, /Question 1 of 2/);
    expect(await page.evaluate('document.documentElement.scrollWidth - innerWidth')).toBeLessThanOrEqual(0);
    for (const button of await page.locator('.actions button').all())
      expect((await button.boundingBox())!.height).toBeGreaterThanOrEqual(44);
    // The buttons are in sight however long the answers are.
    const low = (await page.getByRole('button', { name: /Undo/ }).boundingBox())!;
    expect(low.y + low.height).toBeLessThanOrEqual(568);
    await page.getByRole('button', { name: /Second is better/ }).tap();
    await said(page, /Saved: the second/);
    expect(await verdicts(path)).toHaveLength(1);
  });

  it('rates one answer at a time', async () => {
    const { page } = await open({ items: 1, languages: ['en'], kind: 'rate' });
    await begin(page);
    expect(await page.title()).toBe('How good is this answer?');
    expect(await page.locator('.answers section').count()).toBe(1);
    await page.keyboard.press('e');
    await said(page, /Saved: excellent/);
    await page.keyboard.press('3');
    await where(page, /All answered/);
    await page.keyboard.press('ArrowLeft');
    expect(await page.getByRole('button', { name: /Fail/ }).getAttribute('aria-pressed')).toBe('true');
  });
});
