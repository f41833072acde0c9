// `mlit annotate`: a folder with a task for people, made once from files of answers, served as a page, and read back as a report.
import { type Command, Option } from 'commander';
import { z } from 'zod';
import { type AnnotationAnswers, makeAnnotationTask } from '../annotate/make';
import { questionsOf } from '../annotate/order';
import { annotationReport } from '../annotate/report';
import { describeAnnotation } from '../annotate/report-text';
import { serveAnnotation } from '../annotate/serve';
import { describeTask, readAnnotationTask, taskLanguages, writeAnnotationTask } from '../annotate/task';
import { readExamples } from '../data/read';
import { isLoopback } from '../http/origin';
import { sha256File } from '../native/files';
import { checkLanguageCode } from '../text/language-codes';
import { modelNameOf, readAnswers } from './answers-file';
import {
  addResultFlags,
  checkOptions,
  mergeConfig,
  parseCount,
  parseField,
  parseInteger,
  UsageError,
} from './common';
import { note, printJson, printLine, table } from './output';
import { abortOnSignals } from './signals';

/** Beside 8080 of `mlit serve`, so that both run. */
const DEFAULT_PORT = 8081;

const makingSchema = {
  a: z.string().min(1).optional(),
  b: z.string().min(1).optional(),
  prompts: z.string().min(1).optional(),
  field: z.record(z.string(), z.string()).default({}),
  task: z.enum(['choose', 'rate']).optional(),
  ties: z.boolean().default(true),
  sample: z.int().min(1).optional(),
  languages: z.array(z.string()).min(1).optional(),
  seed: z.int().min(0).default(0),
};

const optionsSchema = z.strictObject({
  ...makingSchema,
  host: z.string().min(1).default('127.0.0.1'),
  port: z.int().min(0).max(65_535).default(DEFAULT_PORT),
  name: z.string().optional(),
  links: z.union([z.int().min(1).max(100), z.array(z.string()).min(1).max(100)]).default(1),
  report: z.boolean().default(false),
  judgeVerdicts: z.array(z.string()).default([]),
  json: z.boolean().default(false),
});

type Options = z.output<typeof optionsSchema>;

export function addAnnotate(program: Command): void {
  const command = program
    .command('annotate')
    .description('a page on which people judge answers, blind, and what came of it')
    .argument('<dir>', 'the folder of the task and its labels')
    .addOption(new Option('--a <file>', 'answers as `mlit sample` prints them, or NAME=FILE; makes the task'))
    .addOption(new Option('--b <file>', 'another model’s answers to the same prompts, or NAME=FILE'))
    .addOption(new Option('--prompts <file>', 'the prompts that were answered'))
    .addOption(
      new Option(
        '--field <name=field>',
        'read a field of the prompts under another name, as in instruction=question',
      ).argParser(parseField),
    )
    .addOption(
      new Option(
        '--task <task>',
        'choose the better answer, or rate each (default: choose, with --b)',
      ).choices(['choose', 'rate']),
    )
    .addOption(new Option('--no-ties', 'people have to choose one of two answers'))
    .addOption(
      new Option('--sample <n>', 'prompts of each language, drawn by the seed (default: all)').argParser(
        parseInteger,
      ),
    )
    .addOption(
      new Option(
        '--languages <codes>',
        'only these, as in en,es (default: all that were answered)',
      ).argParser((text: string) => text.split(',')),
    )
    .addOption(
      new Option('--seed <n>', 'of the draw and of everybody’s order (default: 0)').argParser(parseCount),
    )
    .addOption(
      new Option(
        '--host <host>',
        'where to listen; any but this machine is entered by one-time links (default: 127.0.0.1)',
      ),
    )
    .addOption(
      new Option('--port <n>', `0 takes a free one (default: ${DEFAULT_PORT})`).argParser(parseCount),
    )
    .addOption(new Option('--name <who>', 'who labels (default: the page asks)'))
    .addOption(
      new Option(
        '--links <n or names>',
        'one-time links to print, one a browser; for names, as in maria,omar, one each, and who enters by it is that person (default: 1)',
      ).argParser(parseLinks),
    )
    .addOption(new Option('--report', 'print what came of it, serve nothing'))
    .addOption(
      new Option(
        '--judge-verdicts <files...>',
        'verdicts of judges on the same models, to compare people with',
      ),
    );
  addResultFlags(command).action((folder: string, _given: unknown, command: Command) => run(folder, command));
}

async function run(folder: string, command: Command): Promise<void> {
  const given = await mergeConfig(command);
  const options = checkOptions(optionsSchema, given);
  refuseStrayFlags(options, given);
  const { signal, release } = abortOnSignals();
  try {
    if (options.a !== undefined) await make(folder, options, signal);
    await (options.report ? report(folder, options) : serve(folder, options, signal));
  } finally {
    release();
  }
}

/** A number of links, or whom they are for. */
function parseLinks(text: string): number | string[] {
  return /^[-+]?\d+$/.test(text) ? parseInteger(text) : text.split(',').map((name) => name.trim());
}

/** Flags that would do nothing are a mistake that should show before people begin. */
function refuseStrayFlags(options: Options, given: Record<string, unknown>): void {
  const strays = Object.keys(makingSchema).filter((key) => key !== 'a' && given[key] !== undefined);
  if (options.a === undefined && strays.length > 0)
    throw new UsageError(
      `${flags(strays)}: belong to making a task, which --a FILE and --prompts FILE do; without --a the task that the folder holds is taken as it is`,
    );
  if (options.a !== undefined && options.prompts === undefined)
    throw new UsageError(
      '--prompts: people have to see what was asked; give --prompts FILE, the prompts that were sampled from',
    );
  if (options.task === 'choose' && options.b === undefined)
    throw new UsageError('--b: to choose, people need two answers; give --b FILE, or --task rate');
  if (!options.report && options.judgeVerdicts.length > 0)
    throw new UsageError('--judge-verdicts: belongs to --report, which compares judges with people');
  if (given.links !== undefined && isLoopback(options.host))
    throw new UsageError('--links: this machine needs none; they belong to another --host');
  if (typeof options.links !== 'number' && options.name !== undefined)
    throw new UsageError('--name: says who labels alone; --links names people of their own');
}

function flags(keys: readonly string[]): string {
  return keys.map((key) => (key === 'ties' ? '--no-ties' : `--${key}`)).join(', ');
}

async function make(folder: string, options: Options, signal: AbortSignal): Promise<void> {
  for (const code of options.languages ?? []) checkLanguageCode(code, '--languages');
  const models: AnnotationAnswers[] = [];
  for (const text of [options.a, options.b]) {
    if (text === undefined) continue;
    const [, name, file] = /^(?:([^=/]+)=)?(.+)$/s.exec(text) as unknown as [
      string,
      string | undefined,
      string,
    ];
    models.push({
      name: name ?? modelNameOf(file),
      file,
      answers: await readAnswers(file, signal),
      sha256: await sha256File(file),
    });
  }
  const promptsFile = options.prompts as string;
  const prompts = await readExamples([promptsFile], {
    need: 'prompt',
    field: options.field,
    signal,
    onNote: note,
  });
  const { task: kind, ties, sample, languages, seed } = options;
  const { task, notes } = makeAnnotationTask({
    models,
    prompts,
    promptsFile: { file: promptsFile, sha256: await sha256File(promptsFile) },
    kind,
    ties,
    sample,
    languages,
    seed,
  });
  for (const one of notes) note(one);
  await writeAnnotationTask(folder, task);
}

async function serve(folder: string, options: Options, signal: AbortSignal): Promise<void> {
  const task = await readAnnotationTask(folder);
  const done = new Map<string, number>();
  const server = await serveAnnotation(folder, {
    host: options.host,
    port: options.port,
    person: options.name,
    ...(!isLoopback(options.host) && { links: options.links }),
    onLabel: (person) => done.set(person, (done.get(person) ?? 0) + 1),
    onFault: (error) => note(`the server could not answer: ${(error as Error).message}`),
  });
  try {
    note(`${folder}: ${describeTask(task)}`);
    if (options.json)
      await printJson({
        urls: server.urls,
        ...(typeof options.links !== 'number' && { people: options.links }),
        kind: task.kind,
        questions: questionsOf(task).length,
        languages: taskLanguages(task),
      });
    else for (const [at, url] of server.urls.entries()) await printLine(labelled(url, options.links, at));
    note(
      isLoopback(options.host)
        ? 'Open it in a browser on this machine. Every answer is saved as it is given; Ctrl-C ends.'
        : 'Each link opens once, in one browser; the way there is not encrypted. Every answer is saved as it is given; Ctrl-C ends.',
    );
    await new Promise<void>((resolve) => {
      if (signal.aborted) resolve();
      else signal.addEventListener('abort', () => resolve(), { once: true });
    });
  } finally {
    await server.close();
  }
  for (const [person, count] of done)
    note(`${person}: ${count} ${count === 1 ? 'answer' : 'answers'} in this sitting`);
  // Ended as it is meant to end, with every answer on the disk: no failure, whatever the signal.
}

/** A link behind the name of whom it is for. */
function labelled(url: string, links: Options['links'], at: number): string {
  return typeof links === 'number' ? url : `${links[at]}: ${url}`;
}

async function report(folder: string, { judgeVerdicts, json }: Options): Promise<void> {
  const made = await annotationReport(folder, { judgeVerdicts });
  if (json) await printJson(made);
  else await printLine(describeAnnotation(made, table));
}
