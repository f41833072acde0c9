// A headless Chromium of the machine's own, for tests of pages, their screenshots and how fast they open.
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { chromium } from 'playwright-core';

const NAMES = ['chromium', 'chromium-browser', 'google-chrome-stable', 'google-chrome'];

/** Why there is none, for people. */
export const NO_BROWSER = `there is no ${NAMES.join(', ')} on the PATH and no MLIT_CHROMIUM`;

/**
 * Where Chromium is: `MLIT_CHROMIUM`, or the first that the PATH has.
 *
 * @returns {string | undefined}
 */
export function findChromium(env = process.env) {
  if (env.MLIT_CHROMIUM) return env.MLIT_CHROMIUM;
  const folders = (env.PATH ?? '').split(delimiter).filter((folder) => folder !== '');
  return NAMES.flatMap((name) => folders.map((folder) => join(folder, name))).find((path) =>
    existsSync(path),
  );
}

/** The caller closes it. */
export function openBrowser() {
  const executablePath = findChromium();
  if (executablePath === undefined) throw new Error(NO_BROWSER);
  // Chromium's sandbox wants a user that is not root; what it shows here are pages of our own.
  return chromium.launch({ executablePath, args: process.getuid?.() === 0 ? ['--no-sandbox'] : [] });
}
