// Inputs that mean harm, and what every reader owes them: a result, or an error of ours that names the file. Never another
// exception, never a hang. `npm run fuzz` runs the same properties for as long as it is told (MLIT_FUZZ_SECONDS each).
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, expect, it } from 'vitest';
import { isMlitError } from '../../lib/index';

const seconds = Number(process.env.MLIT_FUZZ_SECONDS ?? 0);

/** In `npm test` the same cases each time, 60 or `cases`; in `npm run fuzz` new ones until the time is over. */
export function property<T>(
  name: string,
  inputs: fc.Arbitrary<T>,
  check: (input: T) => Promise<void> | void,
  cases = 60,
): void {
  const options: fc.Parameters<[T]> =
    seconds > 0
      ? { numRuns: 1e9, interruptAfterTimeLimit: seconds * 1000, markInterruptAsFailure: false }
      : { numRuns: cases, seed: 20260701, interruptAfterTimeLimit: 10_000, markInterruptAsFailure: false };
  it(
    name,
    async () => {
      let runs = 0;
      await fc.assert(
        fc.asyncProperty(inputs, async (input) => {
          runs += 1;
          await check(input);
        }),
        options,
      );
      if (seconds > 0) process.stdout.write(`fuzz ${JSON.stringify({ name, runs, seconds })}\n`);
    },
    seconds > 0 ? seconds * 2000 + 60_000 : 30_000,
  );
}

/** A folder whose files are written anew for each case. */
export function hostileFolder(): (name: string, content: string | Uint8Array) => string {
  const folder = mkdtempSync(join(tmpdir(), 'mlit-fuzz-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  return (name, content) => {
    writeFileSync(join(folder, name), content);
    return join(folder, name);
  };
}

/** Of processor time, whatever else the machine does; the names of all languages, looked up once for the first suggestion, take one second. */
const SLOW_MS = 20_000;

/** Undefined when `action` is refused as it should be; its result otherwise. `says` must be in the message. */
export async function answers<T>(action: () => Promise<T> | T, says = ''): Promise<T | undefined> {
  const begun = process.cpuUsage();
  try {
    return await action();
  } catch (error) {
    if (!isMlitError(error)) throw error;
    expect(error.message).toContain(says);
    expect(error.message.length).toBeLessThan(4000);
    return undefined;
  } finally {
    const { user, system } = process.cpuUsage(begun);
    expect((user + system) / 1000).toBeLessThan(SLOW_MS);
  }
}

/** Text nested so deep that a recursion over what it means overflows the stack. */
export const deep = (open: string, close: string, levels = 20_000): string =>
  open.repeat(levels) + close.repeat(levels);

const hostileValue = fc.oneof(
  fc.constantFrom<unknown>(
    null,
    true,
    -1,
    0,
    0.5,
    1e308,
    2 ** 31,
    2 ** 53,
    4294967295,
    '',
    ' ',
    '\0',
    '\ud800',
    '__proto__',
    'constructor',
    'x'.repeat(70_000),
    [],
    {},
    [null],
    [[]],
    { type: 'Sequence' },
    JSON.parse(deep('[', ']')),
    JSON.parse(deep('{"a":', '}', 9_000).replace(':}', ':1}')),
  ),
  fc.jsonValue({ maxDepth: 3 }),
);

/** JSON, or what is none where a value is nested too deep to be written. */
export function textOf(value: unknown): string {
  try {
    return JSON.stringify(value) ?? 'x';
  } catch {
    return deep('[', ']');
  }
}

type Path = (string | number)[];

function pathsOf(value: unknown, limit = 400): Path[] {
  const found: Path[] = [[]];
  for (let at = 0; at < found.length && found.length < limit; at += 1) {
    const path = found[at] as Path;
    const here = path.reduce<unknown>(
      (inside, key) => (inside as Record<string | number, unknown>)[key],
      value,
    );
    if (here === null || typeof here !== 'object') continue;
    for (const key of Object.keys(here).slice(0, 40))
      found.push([...path, Array.isArray(here) ? Number(key) : key]);
  }
  return found;
}

function replaced(value: unknown, path: Path, change: unknown): unknown {
  const [key, ...rest] = path;
  if (key === undefined) return change;
  if (Array.isArray(value)) return value.map((each, i) => (i === key ? replaced(each, rest, change) : each));
  const copy: Record<string, unknown> = { ...(value as Record<string, unknown>) };
  if (change === undefined && rest.length === 0) delete copy[key];
  else copy[key] = replaced(copy[key], rest, change);
  return copy;
}

/** A valid value with one to three places replaced by something hostile, or taken out. */
export function mutated(valid: unknown): fc.Arbitrary<unknown> {
  const paths = pathsOf(valid);
  const change = fc.tuple(fc.constantFrom(...paths), fc.option(hostileValue, { nil: undefined, freq: 6 }));
  return fc.array(change, { minLength: 1, maxLength: 3 }).map((changes) =>
    changes.reduce((value, [path, to]) => {
      try {
        return replaced(value, path, to);
      } catch {
        return value; // an earlier change took this place away
      }
    }, valid),
  );
}

/** Bytes of a valid file with bits flipped, stretches cut, doubled or overwritten. */
export function damaged(valid: string | Buffer): fc.Arbitrary<Buffer> {
  const bytes = Buffer.from(valid as Buffer);
  const at = fc.nat(bytes.length);
  const edit = fc.oneof(
    fc.record({ kind: fc.constant('flip' as const), at, bit: fc.nat(7) }),
    fc.record({ kind: fc.constant('cut' as const), at, length: fc.nat(40) }),
    fc.record({ kind: fc.constant('double' as const), at, length: fc.nat(200) }),
    fc.record({
      kind: fc.constant('write' as const),
      at,
      text: fc.oneof(
        fc.string(),
        fc.constantFrom('[[[[', '{"', '\n', '\uFEFF', '\u2028', '-', '*a', '&a', '<<: ', '"\\ud800"'),
      ),
    }),
  );
  return fc.array(edit, { minLength: 1, maxLength: 4 }).map((edits) =>
    edits.reduce((data, change) => {
      const place = Math.min(change.at, data.length);
      const [before, after] = [data.subarray(0, place), data.subarray(place)];
      switch (change.kind) {
        case 'flip': {
          const copy = Buffer.from(data);
          if (place < copy.length) copy[place] = (copy[place] as number) ^ (1 << change.bit);
          return copy;
        }
        case 'cut':
          return Buffer.concat([before, after.subarray(change.length)]);
        case 'double':
          return Buffer.concat([before, after.subarray(0, change.length), after]);
        case 'write':
          return Buffer.concat([before, Buffer.from(change.text), after]);
      }
      return data;
    }, bytes),
  );
}
