// Holds `mlit plan` to what processes really take: some twenty combinations of families and options, each run by itself.
// Arguments: parts of combinations' names, to run those alone.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { combinations } from '../plan-memory/combinations.mjs';
import { measure, TOLERANCE } from '../plan-memory/measure.mjs';
import { say } from '../setup/common.mjs';

const asked = process.argv.slice(2);
const mebibytes = (bytes) => (bytes / 2 ** 20).toFixed(1);
const percent = (share) => `${share < 0 ? '−' : '+'}${Math.abs(100 * share).toFixed(2)} %`;
const names = Object.keys(combinations).filter(
  (name) => asked.length === 0 || asked.some((part) => name.includes(part)),
);
say(
  '| combination | native, planned MiB | Node MiB | planned in all | peak (VmHWM) | difference | native alone |',
);
say('|---|---|---|---|---|---|---|');
let off = 0;
for (const name of names) {
  const folder = mkdtempSync(join(tmpdir(), 'mlit-plan-'));
  try {
    const m = await measure(folder, combinations[name]);
    const sizes = [m.nativeBytes, m.nodeBytes, m.nativeBytes + m.nodeBytes, m.peakBytes].map(mebibytes);
    say(`| ${[name, ...sizes, percent(m.difference), percent(m.nativeDifference)].join(' | ')} |`);
    if (Math.abs(m.difference) > TOLERANCE) off++;
  } catch (error) {
    say(`| ${name} | failed: ${error.stderr || error.message} |`);
    off++;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
say(`${names.length - off} of ${names.length} within ${100 * TOLERANCE} %`);
process.exit(off > 0 ? 1 : 0);
