// A report is a folder that is whole or not there: written under another name beside its place and then renamed over it.
// Equal results give equal bytes, so that a report can be compared with its forerunner by any tool.
import { open, readdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { lastQualifications, type Qualification } from '../eval/judges/qualification';
import type { VerdictLine } from '../eval/verdicts';
import type { StoredAnswers } from '../experiment/answers';
import type { ExperimentResults } from '../experiment/results';
import { MlitError } from '../native/errors';
import { makeFolder, syncFolder, whyNotWritten } from '../native/files';
import { refuseUnknownOptions } from '../text/options';
import { figureSpec, renderFigure } from './charts/render';
import { checkResults } from './check';
import { judgeTables } from './judge-tables';
import { answersPart } from './page/answers-part';
import { allVerdicts, judgedPairs } from './page/judged-pairs';
import { reportPage } from './page/report-page';
import { reportMarkdown } from './report-markdown';
import { resultsJson, sorted } from './results-json';
import { tableCsv } from './table-csv';
import { tableLatex } from './table-latex';
import { tableMarkdown } from './table-markdown';

/** What a report has beside its tables and figures. */
export interface ReportOptions {
  /** What the page lets its reader browse; of them those models that the results are of. Default none. */
  answers?: StoredAnswers | undefined;
  /**
   * What judges said of pairs of answers, models called by arm (`pinch-10`), or by arm and seed (`pinch-10/1`) where an arm has several;
   * verdicts on other models are left out. Default none.
   */
  verdicts?: readonly VerdictLine[] | undefined;
  /** What planted pairs said of these judges; verdicts of others are grey. Default none. */
  qualifications?: readonly Qualification[] | undefined;
  /** More files to put into the folder: path below it → bytes. */
  files?: ReadonlyMap<string, string | Uint8Array>;
  signal?: AbortSignal | undefined;
}

/**
 * The files of a report by their path in its folder: `report.html`, `report.md`, `results.json`, `tables/ID.{md,csv,tex}`,
 * `figures/ID.{svg,vl.json}`.
 *
 * @throws TypeError where the results contradict themselves
 */
export async function renderReport(
  collected: ExperimentResults,
  options: ReportOptions = {},
): Promise<Map<string, string | Uint8Array>> {
  refuseUnknownOptions('renderReport', options, NAMES);
  const { verdicts = [] } = options;
  const results = withJudges(collected, options);
  checkResults(results);
  const files = new Map<string, string | Uint8Array>([
    ['report.md', reportMarkdown(results)],
    ['results.json', resultsJson(results)],
  ]);
  for (const table of results.tables) {
    files.set(`tables/${table.id}.md`, tableMarkdown(table));
    files.set(`tables/${table.id}.csv`, tableCsv(table));
    files.set(`tables/${table.id}.tex`, tableLatex(table));
  }
  const svgs = new Map<string, string>();
  for (const figure of results.figures) {
    options.signal?.throwIfAborted();
    svgs.set(figure.id, await renderFigure(figure));
    files.set(`figures/${figure.id}.svg`, svgs.get(figure.id)!);
    files.set(`figures/${figure.id}.vl.json`, `${JSON.stringify(sorted(figureSpec(figure)), null, 2)}\n`);
  }
  const stored = options.answers && answersOfResults(options.answers, results);
  const judged = judgedPairs(stored?.models ?? [], allVerdicts(stored, verdicts)).pairs;
  const answers = stored && (await answersPart(stored, { judged, signal: options.signal }));
  files.set('report.html', reportPage({ title: results.experiment, results, svgs, answers }));
  for (const [path, data] of options.files ?? []) files.set(path, data);
  return files;
}

/** Results with the tables of judges behind the others. */
export function withJudges(
  results: ExperimentResults,
  {
    answers,
    verdicts = [],
    qualifications = [],
  }: Pick<ReportOptions, 'answers' | 'verdicts' | 'qualifications'>,
): ExperimentResults {
  const tried = lastQualifications([...(answers?.qualifications ?? []), ...qualifications]);
  return { ...results, tables: [...results.tables, ...judgeTables(verdicts, tried)] };
}

const NAMES = { answers: true, verdicts: true, qualifications: true, files: true, signal: true } as const;

/** A store may have gone on since its results were taken: the page shows the answers that the numbers are of. */
function answersOfResults(
  { models, ...rest }: StoredAnswers,
  { provenance }: ExperimentResults,
): StoredAnswers {
  const jobs = new Set(
    Object.values(provenance.jobs).flatMap((seeds) => Object.values(seeds).map((each) => each.sample)),
  );
  return { models: models.filter(({ job }) => jobs.has(job)), ...rest };
}

/**
 * Writes a report into `folder`, in place of the one that is there. Resolves with the paths of the files, sorted.
 *
 * @throws MlitError `FILE_IO` where the folder cannot be written, or holds something that is no report
 */
export async function writeReport(
  results: ExperimentResults,
  folder: string,
  options: ReportOptions = {},
): Promise<string[]> {
  refuseUnknownOptions('writeReport', options, NAMES);
  const files = await renderReport(results, options);
  const place = resolve(folder);
  try {
    await refuseOthers(place);
    await removeLeftovers(place);
    const part = `${place}.part-${process.pid}`;
    const old = `${place}.old-${process.pid}`;
    try {
      const folders = new Set([part]);
      for (const [path, data] of files) {
        const file = join(part, path);
        await makeFolder(dirname(file));
        folders.add(dirname(file));
        await writeSynced(file, data, join(place, path));
      }
      for (const each of folders) await syncFolder(each);
      await rename(place, old).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== 'ENOENT') throw error;
      });
      await rename(part, place).catch(async (error: unknown) => {
        await rename(old, place).catch(() => undefined); // the report that was there stays
        throw error;
      });
      await syncFolder(dirname(place));
    } finally {
      await rm(part, { recursive: true, force: true });
    }
    await rm(old, { recursive: true, force: true });
  } catch (cause) {
    if (cause instanceof MlitError) throw cause;
    throw new MlitError('FILE_IO', `cannot write the report ${place}: ${whyNotWritten(cause)}`, {
      fields: { file: place },
      cause,
    });
  }
  return [...files.keys()].sort().map((path) => join(place, path));
}

/** @param shown what the file will be called when the report is whole */
async function writeSynced(path: string, data: string | Uint8Array, shown: string): Promise<void> {
  try {
    const file = await open(path, 'wx');
    try {
      await file.writeFile(data);
      await file.sync();
    } finally {
      await file.close();
    }
  } catch (cause) {
    throw new MlitError('FILE_IO', `cannot write ${shown}: ${whyNotWritten(cause)}`, {
      fields: { file: shown },
      cause,
    });
  }
}

/** A folder with files of somebody's own is not replaced. */
async function refuseOthers(place: string): Promise<void> {
  const entries = await readdir(place).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [] as string[];
    throw error;
  });
  if (entries.length === 0 || (entries.includes('report.md') && entries.includes('results.json'))) return;
  throw new MlitError(
    'FILE_IO',
    `${place} holds something that is no report (no report.md and results.json); choose a new or empty folder`,
    { fields: { file: place } },
  );
}

/** What writers left that were killed. */
async function removeLeftovers(place: string): Promise<void> {
  await makeFolder(dirname(place));
  for (const entry of await readdir(dirname(place))) {
    const match = /^\.(?:part|old)-(\d+)$/.exec(entry.slice(basename(place).length));
    if (!entry.startsWith(basename(place)) || match === null || isAlive(Number(match[1]))) continue;
    await rm(join(dirname(place), entry), { recursive: true, force: true });
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
