// The file of `--runs`: options that all runs share, and the runs. Each has the names that run.yaml has, or a flag's; whatever is
// wrong is told with the file, the run and the field.
import { readFile } from 'node:fs/promises';
import { MlitError } from '../native/errors';
import { describeIssues } from '../text/issues';
import { unknownOption } from '../text/options';
import { parseYaml } from '../text/yaml';
import type { MultiTrainerRun } from '../train/multi-trainer';
import { trainFields, trainOptionsSchema } from '../train/options';
import { optionOf } from './flags';

/** What `defaults` and a run may say. */
export const RUN_KEYS = [...Object.keys(trainFields.shape), 'out'];
const TOP = ['defaults', 'runs'];

/** @throws MlitError `FILE_NOT_FOUND`, `CONFIG_INVALID` */
export async function readRunsFile(file: string): Promise<MultiTrainerRun[]> {
  const fail = (what: string, cause?: unknown): never => {
    throw new MlitError('CONFIG_INVALID', `${file}: ${what}`, { fields: { file }, cause });
  };
  const top = mapping(await parseFile(file)) ?? fail('expected a mapping with `defaults` and `runs`');
  for (const key of Object.keys(top)) if (!TOP.includes(key)) fail(unknownOption(key, TOP));
  const { defaults = {}, runs } = top;
  if (!Array.isArray(runs) || runs.length === 0) return fail('runs: expected a list of one run or more');
  const shared = optionsOf(defaults, 'defaults', fail);
  if ('out' in shared) fail('defaults.out: every run has a folder of its own; give it there');
  const places = new Map<string, number>();
  return runs.map((entry, index) => {
    const where = `runs[${index}]`;
    const { out, ...options } = { ...shared, ...optionsOf(entry, where, fail) };
    if (typeof out !== 'string' || out === '') return fail(`${where}.out: is needed: the run's folder`);
    const { error } = trainOptionsSchema.safeParse(options);
    if (error) fail(`${describeIssues(error, options, { name: (key) => `${where}.${key}` })} (${out})`);
    const other = places.get(out);
    if (other !== undefined) fail(`${where}.out: ${out} is the folder of runs[${other}] too`);
    places.set(out, index);
    return { ...options, out } as MultiTrainerRun;
  });
}

async function parseFile(file: string): Promise<unknown> {
  try {
    return parseYaml(await readFile(file, 'utf8'));
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code === 'ENOENT' ? 'FILE_NOT_FOUND' : 'CONFIG_INVALID';
    throw new MlitError(code, `cannot read ${file}: ${(cause as Error).message}`, {
      fields: { file },
      cause,
    });
  }
}

function mapping(value: unknown): Record<string, unknown> | undefined {
  const isMapping = typeof value === 'object' && value !== null && !Array.isArray(value);
  return isMapping ? (value as Record<string, unknown>) : undefined;
}

/** A run's entry with its keys as options are called; one path may stand for a list of data. */
function optionsOf(entry: unknown, where: string, fail: (what: string) => never): Record<string, unknown> {
  const given = mapping(entry) ?? fail(`${where}: expected a mapping of options`);
  const options: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(given)) {
    const name = optionOf(key);
    if (!RUN_KEYS.includes(name)) fail(`${where}: ${unknownOption(key, RUN_KEYS)}`);
    options[name] = name === 'data' && typeof value === 'string' ? [value] : value;
  }
  return options;
}
