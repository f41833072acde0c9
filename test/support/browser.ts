// A headless Chromium for tests of pages. Where there is none tests are left out, which they say; on a machine for continuous
// integration that would be a fault.
import { findChromium, NO_BROWSER } from '../../scripts/report/chromium.mjs';

export { openBrowser } from '../../scripts/report/chromium.mjs';

/**
 * Whether tests of pages can run here, for `describe.runIf`; prints why not.
 *
 * @throws Error where `CI` is true and there is no browser
 */
export function hasBrowser(): boolean {
  if (findChromium() !== undefined) return true;
  if (process.env.CI === 'true') throw new Error(`tests of pages want a browser: ${NO_BROWSER}`);
  process.stderr.write(`Tests of pages are left out: ${NO_BROWSER}.\n`);
  return false;
}
