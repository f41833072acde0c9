// `mlit compare` by a model that judges: local or behind an endpoint, its planted pairs first, and what it said of them printed
// beside what it said of the answers.
import { readExamples } from '../data/read';
import { type JudgedComparison, judgeAnswers } from '../eval/judges/compare-judged';
import type { Judge } from '../eval/judges/judge';
import type { JudgeName } from '../eval/judges/judge-name';
import { LocalJudge } from '../eval/judges/local-judge';
import { cachedVerdictsFile, VerdictMemory } from '../eval/judges/memory';
import { OpenAIJudge } from '../eval/judges/openai-judge';
import { MIN_ACCURACY, MIN_CONSISTENCY, storeQualifications } from '../eval/judges/qualification';
import { besideFile } from '../eval/synced-lines';
import { printable } from '../native/untrusted';
import { GREY_MARK } from '../report/layout';
import { loadIdentifier } from '../text/identify';
import { modelNameOf, readAnswers } from './answers-file';
import { UsageError } from './common';
import type { CompareFlags } from './compare';
import { comparedTable, GATE_NOTE, interval, percent, S_NOTE, shown } from './compared-table';
import { JudgeBar, refuseUnasked, tally } from './judge-flags';
import { loadBase } from './load-model';
import { note, printJson, printLine, table } from './output';

type ModelJudge = Exclude<JudgeName, { kind: 'program' }>;

export async function compareByModel(
  a: string,
  b: string,
  name: ModelJudge,
  options: CompareFlags,
  signal: AbortSignal,
): Promise<void> {
  const file = options.prompts ?? options.references;
  if (file === undefined) {
    throw new UsageError(
      '--prompts: a model judges answers to prompts; give --references FILE, the prompts with a reference answer each, or --prompts FILE, by which no judge can qualify',
    );
  }
  const read = (path: string) =>
    readExamples([path], { need: 'reference', field: options.field, signal, onNote: note });
  const prompts = await read(file);
  const references =
    options.references === undefined || options.references === file
      ? prompts
      : await read(options.references);
  const answers = { a: await readAnswers(a, signal), b: await readAnswers(b, signal) };
  const { protocol, template, concurrency, maxCalls, maxTokens, maxNewTokens } = options;
  await using model =
    name.kind === 'local' ? await loadBase({ ...options, model: name.model }, signal) : undefined;
  await using judge: Judge =
    name.kind === 'local'
      ? await LocalJudge.create({ model: model!, name: name.model, protocol, template, onNote: note })
      : new OpenAIJudge({
          ...{ model: name.model, url: name.url, protocol, concurrency, maxCalls, maxTokens, maxNewTokens },
          onNote: note,
        });
  const memories = await openMemories(judge, options.verdicts);
  await using memory = memories.verdicts;
  await using planted = memories.planted;
  const stale = memory.ofOtherWordings(judge);
  if (stale > 0) {
    note(
      `${memory.file}: ${stale} verdicts of ${printable(judge.name)} were asked by another wording of the question than this version's (${judge.wording}); they are not used`,
    );
  }
  const bar = new JudgeBar('verdicts');
  try {
    const { comparison } = await judgeAnswers(answers.a, answers.b, {
      judge,
      prompts,
      references,
      names: namesOf(a, b, options),
      memory,
      plantedMemory: planted,
      allowMissing: options.allowMissing,
      gate: options.gate,
      identify: await loadIdentifier(),
      seed: options.seed,
      signal,
      onProgress: ({ phase, ...progress }) => bar.update(phase, progress),
    });
    bar.end();
    const { judging, planting, spending, qualifications } = comparison;
    await storeQualifications(memory.file, qualifications);
    if (options.json) await printJson({ a, b, prompts: file, verdicts: memory.file, ...comparison });
    else await printLine(describe(comparison, { a, b, file: memory.file }));
    refuseUnasked(judging.unasked + planting.unasked, merged(planting.failed, judging.failed), spending);
  } finally {
    bar.end();
  }
}

/** The file that was named, and planted pairs beside it; else one in the cache for both. */
async function openMemories(
  judge: Judge,
  file: string | undefined,
): Promise<{ verdicts: VerdictMemory; planted: VerdictMemory }> {
  if (file === undefined) {
    const cached = await VerdictMemory.open(cachedVerdictsFile(judge), { named: false });
    return { verdicts: cached, planted: cached };
  }
  const verdicts = await VerdictMemory.open(file, { named: true });
  try {
    const planted = await VerdictMemory.open(besideFile(file, 'planted'), { named: false });
    return { verdicts, planted };
  } catch (error) {
    await verdicts.close();
    throw error;
  }
}

function namesOf(a: string, b: string, { nameA, nameB }: CompareFlags): { a: string; b: string } {
  const short = { a: nameA ?? modelNameOf(a), b: nameB ?? modelNameOf(b) };
  if (short.a !== short.b) return short;
  const long = { a: nameA ?? a, b: nameB ?? b };
  if (long.a !== long.b) return long;
  return { a: `${long.a} (A)`, b: `${long.b} (B)` };
}

function merged(...counts: readonly Readonly<Record<string, number>>[]): Record<string, number> {
  const all: Record<string, number> = {};
  for (const count of counts) for (const [what, n] of Object.entries(count)) all[what] = (all[what] ?? 0) + n;
  return all;
}

function describe(comparison: JudgedComparison, files: { a: string; b: string; file: string }): string {
  const { judge, protocol, wording, gate, all, judging, unqualified, names, onlyA, onlyB } = comparison;
  const isGrey = (lang: string): boolean =>
    lang === 'all' ? unqualified.length > 0 : unqualified.includes(lang);
  const choice = protocol === 'forced' ? 'has to choose' : 'may call it a tie';
  const models = Object.keys(judging.models).length > 0 ? `; answered as ${tally(judging.models)}` : '';
  return [
    `A: ${printable(files.a)} (${printable(names.a)})`,
    `B: ${printable(files.b)} (${printable(names.b)})`,
    `judge: ${printable(judge)}, ${choice}, asked by wording ${wording}${models}`,
    ...(gate ? [GATE_NOTE] : []),
    '',
    ...qualificationLines(comparison),
    '',
    comparedTable(comparison, { consistency: true, isGrey }),
    '',
    S_NOTE,
    'consistent: pairs judged alike in both orders, in %.',
    ...(unqualified.length > 0
      ? [
          `${GREY_MARK} warning: not to be relied upon: the judge did not qualify in ${unqualified.join(', ')}.`,
        ]
      : []),
    ...(judging.identical > 0 ? [`Identical answers, ties without asking: ${judging.identical} pairs.`] : []),
    ...(Object.keys(judging.outOfForm).length > 0
      ? [`Answers of the judge out of form, which are no verdicts: ${tally(judging.outOfForm)}.`]
      : []),
    ...(all.leftOut > 0
      ? [
          `Left out for want of two verdicts; with them, S is between ${all.worstCase.map(shown).join(' and ')}.`,
        ]
      : []),
    ...(onlyA + onlyB > 0 ? [`On one side only, not compared: ${onlyA} of A, ${onlyB} of B.`] : []),
    `Verdicts: ${judging.asked} asked now, ${judging.known} known before; kept in ${printable(files.file)}.`,
  ].join('\n');
}

/** What the planted pairs came to. */
function qualificationLines({ qualifications, unqualified }: JudgedComparison): string[] {
  const bar = `${100 * MIN_ACCURACY} % right and ${100 * MIN_CONSISTENCY} % consistent`;
  if (qualifications.length === 0) {
    return [
      'qualification: none. There was no pair with a known better answer to try the judge on: give --references with answers in these languages.',
    ];
  }
  const rows = qualifications.map(({ lang, pairs, accuracy, consistency, outOfForm, byKind, qualified }) => [
    lang,
    String(pairs),
    percent(accuracy),
    interval(accuracy, 100),
    consistency === undefined ? '–' : percent(consistency),
    consistency === undefined ? '–' : interval(consistency, 100),
    ...(['shuffled', 'wrong-language', 'cut', 'empty'] as const).map((kind) => {
      const one = byKind[kind];
      return one === undefined ? '–' : percent(one);
    }),
    String(outOfForm),
    qualified ? 'yes' : `no${GREY_MARK}`,
  ]);
  const missing = unqualified.filter((lang) => !qualifications.some((one) => one.lang === lang));
  return [
    `qualification, by pairs of a reference and a planted answer (needs ${bar}):`,
    table(
      [
        ...['language', 'pairs', 'right', '95 %', 'consistent', '95 %'],
        ...['shuffled', 'wrong language', 'cut', 'empty', 'out of form', 'qualified'],
      ],
      rows,
    ),
    ...(missing.length > 0 ? [`not tried in ${missing.join(', ')}, so not qualified there`] : []),
  ];
}
