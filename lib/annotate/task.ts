// What people are asked, written once: task.json holds every text that they see, so that labels go on belonging to these texts
// when the files that they came from are gone or made anew.
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { MlitError } from '../native/errors';
import { makeFolder, writeFileAtomic } from '../native/files';
import { printable, shallow } from '../native/untrusted';
import { describeIssues } from '../text/issues';

/** The task's file in its folder. */
export const TASK_FILE = 'task.json';

const turnSchema = z.strictObject({ role: z.string(), content: z.string() });

const itemSchema = z.strictObject({
  id: z.string().min(1),
  item: z.string().min(1),
  lang: z.string().min(1),
  sample: z.int().min(0),
  prompt: z.array(turnSchema),
  answers: z.array(z.string()).min(1).max(2),
});

const taskSchema = z.strictObject({
  version: z.literal(1),
  kind: z.enum(['choose', 'rate']),
  ties: z.boolean(),
  seed: z.int().min(0),
  models: z
    .array(z.strictObject({ name: z.string().min(1), file: z.string(), sha256: z.string() }))
    .min(1)
    .max(2),
  prompts: z.strictObject({ file: z.string(), sha256: z.string() }),
  created: z.string(),
  items: z.array(itemSchema).min(1),
  hash: z.string(),
});

/** One prompt with the answers to it. */
export type AnnotationItem = z.output<typeof itemSchema>;

/** All that people are asked, with the seed of the order in which they are. */
export type AnnotationTask = z.output<typeof taskSchema>;

/** What two tasks have to share to be the same one; where their texts came from is not in it. */
export function taskHash({
  kind,
  ties,
  seed,
  models,
  items,
}: Pick<AnnotationTask, 'kind' | 'ties' | 'seed' | 'models' | 'items'>): string {
  const names = models.map(({ name }) => name);
  const texts = items.map(({ id, item, lang, sample, prompt, answers }) => [
    id,
    item,
    lang,
    sample,
    prompt.map(({ role, content }) => [role, content]),
    answers,
  ]);
  return createHash('sha256')
    .update(JSON.stringify([1, kind, ties, seed, names, texts]))
    .digest('hex');
}

/** Whether both answers to a prompt are the same text: a tie that nobody is asked about. */
export function isIdentical({ answers: [a, b] }: AnnotationItem): boolean {
  return b !== undefined && a === b;
}

/** Languages of a task's items, sorted. */
export function taskLanguages({ items }: AnnotationTask): string[] {
  return [...new Set(items.map(({ lang }) => lang))].sort();
}

/**
 * The task that a folder holds.
 *
 * @throws MlitError `FILE_NOT_FOUND` where there is none, `FILE_DAMAGED` where its texts are not those that it was made with
 */
export async function readAnnotationTask(folder: string): Promise<AnnotationTask> {
  const task = await findTask(folder);
  if (task !== undefined) return task;
  throw new MlitError(
    'FILE_NOT_FOUND',
    `${folder} holds no task (no ${TASK_FILE}); make one with --a FILE, --b FILE and --prompts FILE`,
    { fields: { file: join(folder, TASK_FILE) } },
  );
}

/** The same, undefined where the folder has none. */
export async function findTask(folder: string): Promise<AnnotationTask | undefined> {
  const file = join(folder, TASK_FILE);
  const text = await readFile(file, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === 'ENOENT') return undefined;
    throw new MlitError('FILE_IO', `cannot read ${file}: ${cause.message}`, { fields: { file }, cause });
  });
  if (text === undefined) return undefined;
  const damaged = (what: string, cause?: unknown): MlitError =>
    new MlitError('FILE_DAMAGED', `${file}: ${what}`, { fields: { file }, cause });
  let value: unknown;
  try {
    value = shallow(JSON.parse(text));
  } catch (cause) {
    throw damaged(`expected a task as JSON: ${(cause as Error).message}`, cause);
  }
  const version = (value as { version?: unknown } | null)?.version;
  if (typeof version === 'number' && version > 1)
    throw damaged(`is of version ${version}, which a newer mlit-native wrote; this one reads version 1`);
  const read = taskSchema.safeParse(value);
  if (!read.success) throw damaged(describeIssues(read.error, value));
  const task = read.data;
  if (taskHash(task) !== task.hash)
    throw damaged(
      'its texts are not those that it was made with (the hash differs), and labels may belong to others; restore it, or make a task in a new folder',
    );
  const uneven = task.items.find(({ answers }) => answers.length !== task.models.length);
  if (uneven !== undefined) throw damaged(`"${uneven.id}" has not one answer of each model`);
  return task;
}

/**
 * Writes a task into its folder. The same task again changes nothing.
 *
 * @throws MlitError `STATE_MISMATCH` where the folder has another task
 */
export async function writeAnnotationTask(folder: string, task: AnnotationTask): Promise<void> {
  const before = await findTask(folder);
  if (before?.hash === task.hash) return;
  if (before !== undefined)
    throw new MlitError(
      'STATE_MISMATCH',
      `${folder} holds another task (${describeTask(before)}), and this would be ${describeTask(task)}; its labels belong to it: name another folder, or leave out --a, --b and --prompts to go on with what is there`,
      { fields: { file: join(folder, TASK_FILE), option: 'dir' } },
    );
  await makeFolder(folder);
  await writeFileAtomic(join(folder, TASK_FILE), `${JSON.stringify(task, null, 1)}\n`);
}

/** `choose, ties allowed, seed 0, base and tuned, 100 prompts in en, es`. */
export function describeTask(task: AnnotationTask): string {
  const { kind, ties, seed, models, items } = task;
  const ways = kind === 'rate' ? 'rate' : `choose, ${ties ? 'ties allowed' : 'no ties'}`;
  const names = models.map(({ name }) => name).join(' and ');
  const languages = taskLanguages(task).join(', ');
  return printable(`${ways}, seed ${seed}, ${names}, ${items.length} prompts in ${languages}`);
}
