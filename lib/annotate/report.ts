// What came of it: whom people prefer, how they graded, and how far they agree with one another and with each judge.
import { join } from 'node:path';
import { type Agreement, agreement, type Choice, type ChoicePair, joinChoices } from '../eval/agreement';
import { type GradeSummary, gradeRates } from '../eval/grades';
import { greyByJudge, type Qualification, readQualifications } from '../eval/judges/qualification';
import {
  gradesOf,
  judgeOfPerson,
  lastWords,
  machineChoices,
  personChoices,
  personOfJudge,
  personPairs,
} from '../eval/people';
import { type Pair, type SideBySide, type SideBySideOptions, sideBySide } from '../eval/side-by-side';
import {
  groupVerdicts,
  type RatingLine,
  readRatings,
  readVerdicts,
  turnedAbout,
  type VerdictLine,
  verdictPairs,
} from '../eval/verdicts';
import { isMlitError, MlitError } from '../native/errors';
import { printable } from '../native/untrusted';
import { refuseUnknownOptions } from '../text/options';
import { RATINGS_FILE, VERDICTS_FILE } from './labels';
import { questionsOf } from './order';
import type { AnnotationKind } from './protocol';
import { type AnnotationTask, isIdentical, readAnnotationTask, TASK_FILE } from './task';

/** What is put beside people's labels, and how intervals are made. */
export interface AnnotationReportOptions extends SideBySideOptions {
  /** Files of verdicts by judges, on the same two models; people in them count as people. */
  judgeVerdicts?: readonly string[];
}

/** How far one person has come. */
export interface PersonProgress {
  person: string;
  /** Questions with a label, "cannot say" among them. */
  answered: number;
  cannotSay: number;
}

/** Something by language of the prompt, and over all. */
export interface ByLanguage<T> {
  byLanguage: Record<string, T>;
  all: T;
}

/** Whom one rater, or all people together, prefer. */
export interface Preference extends ByLanguage<SideBySide> {
  /** `people`, one of them as `person:NAME`, or a judge. */
  rater: string;
  /** Languages in which a judge did not qualify on planted pairs, or was not tried: its numbers there are not to be relied upon. */
  unqualified?: string[];
}

/** How far two agree on the questions that both answered. */
export interface AgreementRow extends ByLanguage<Agreement> {
  first: string;
  /** `people`: all of them, each answer counted. */
  second: string;
}

/** All that a task's labels say. */
export interface AnnotationReport {
  kind: AnnotationKind;
  ties: boolean;
  /** A, and B where there are two. */
  models: string[];
  /** Questions in all; a person may have been asked those of some languages alone. */
  questions: number;
  /** Pairs of equal texts: ties that nobody was asked about. They are in S and in no agreement. */
  identical: number;
  people: PersonProgress[];
  /** S(A, B), where people chose: of all people together, of each, and of each judge on the pairs that people judged. */
  preferences: Preference[];
  /** Rates, where people graded. */
  grades?: ByLanguage<GradeSummary>;
  agreement: AgreementRow[];
}

/**
 * The report of a task's folder, which may be labelled at this moment.
 *
 * @throws MlitError as `readAnnotationTask`; `DATA_INVALID` for judges' verdicts on other models than the task's
 */
export async function annotationReport(
  folder: string,
  options: AnnotationReportOptions = {},
): Promise<AnnotationReport> {
  refuseUnknownOptions('annotationReport', options, {
    judgeVerdicts: true,
    resamples: true,
    seed: true,
    level: true,
  });
  const { judgeVerdicts = [], ...resampling } = options;
  const task = await readAnnotationTask(folder);
  const none = (error: unknown): [] => {
    if (isMlitError(error) && error.code === 'FILE_NOT_FOUND') return [];
    throw error;
  };
  if (task.kind === 'rate') {
    if (judgeVerdicts.length > 0)
      throw new MlitError(
        'DATA_INVALID',
        `${folder} is a task of grades, and verdicts (--judge-verdicts) are of pairs; compare judges with people on a task of choices`,
        { fields: { file: join(folder, TASK_FILE) } },
      );
    const lines = await readRatings(join(folder, RATINGS_FILE)).catch(none);
    return gradesReport(task, lines, resampling);
  }
  const own = await readVerdicts(join(folder, VERDICTS_FILE)).catch(none);
  const lines = ofModels(own, task, join(folder, VERDICTS_FILE));
  const qualifications: Qualification[] = [];
  for (const file of judgeVerdicts) {
    for (const line of ofModels(await readVerdicts(file), task, file)) lines.push(line);
    qualifications.push(...(await readQualifications(file).catch(none)));
  }
  return choicesReport(task, lines, qualifications, resampling);
}

/** The verdicts with the task's A as A. */
function ofModels(lines: readonly VerdictLine[], { models }: AnnotationTask, file: string): VerdictLine[] {
  const [a, b] = models.map(({ name }) => name) as [string, string];
  return lines.map((line) => {
    if (line.a === a && line.b === b) return line;
    if (line.a === b && line.b === a) return turnedAbout(line);
    throw new MlitError(
      'DATA_INVALID',
      printable(
        `${file}: has verdicts of ${line.judge} on ${line.a} and ${line.b}, and people were asked about ${a} and ${b}; give both the same names`,
      ),
      { fields: { file, a: line.a, b: line.b } },
    );
  });
}

interface Rater {
  name: string;
  choices: Choice[];
}

function choicesReport(
  task: AnnotationTask,
  lines: readonly VerdictLine[],
  qualifications: readonly Qualification[],
  options: SideBySideOptions,
): AnnotationReport {
  const known = new Set(task.items.map(keyOf));
  const { byPerson, machines } = sortOut(lastWords(lines).filter((line) => known.has(keyOf(line))));
  const identical = task.items.filter(isIdentical);
  const ties = (languages: ReadonlySet<string>): Pair[] =>
    identical.flatMap(({ item, lang, sample }) =>
      languages.has(lang) ? [{ item, lang, sample, points: 0.5 }] : [],
    );
  const people: Rater[] = [...byPerson].map(([person, own]) => ({
    name: judgeOfPerson(person),
    choices: personChoices(own),
  }));
  const judged = new Set(people.flatMap(({ choices }) => choices.map(keyOf)));
  const pairsOf = (own: readonly VerdictLine[]): Pair[] => [
    ...personPairs(own),
    ...ties(new Set(own.map(({ lang }) => lang))),
  ];
  const pairs = new Map([...byPerson].map(([person, own]) => [judgeOfPerson(person), pairsOf(own)]));
  const groups = judgeGroups(machines);
  const preferences: Preference[] = [
    ...(people.length === 1 ? [] : [preference('people', [...pairs.values()].flat(), options)]),
    ...[...pairs].map(([name, own]) => preference(name, own, options)),
    ...groups.map(({ name, verdicts }) => {
      const same = verdicts.filter((line) => judged.has(keyOf(line)));
      const pooled = verdictPairs({ ...same[0]!, judge: name, verdicts: same });
      const languages = [...new Set(same.map(({ lang }) => lang))].sort();
      const unqualified = languages.filter((lang) => greyByJudge(verdicts[0]!, [lang], qualifications));
      return { ...preference(name, [...pooled, ...ties(new Set(languages))], options), unqualified };
    }),
  ].filter(({ all }) => all.pairs + all.leftOut > 0);
  const machineRaters = groups.map(({ name, verdicts }) => ({
    name,
    choices: machineChoices(verdicts).choices,
  }));
  return {
    kind: 'choose',
    ties: task.ties,
    models: task.models.map(({ name }) => name),
    questions: questionsOf(task).length,
    identical: identical.length,
    people: [...byPerson].map(([person, own]) => progress(person, own, ({ verdict }) => verdict === null)),
    preferences,
    agreement: [...againstPeople(machineRaters, people, options), ...amongPeople(people, options)],
  };
}

function gradesReport(
  task: AnnotationTask,
  lines: readonly RatingLine[],
  options: SideBySideOptions,
): AnnotationReport {
  const models = task.models.map(({ name }) => name);
  const { byPerson } = sortOut(lastWords(lines).filter(({ model }) => models.includes(model)));
  const grades = gradesOf([...byPerson.values()].flat());
  const people: Rater[] = [...byPerson].map(([person, own]) => ({
    name: judgeOfPerson(person),
    choices: gradesOf(own).map(({ id, model, item, lang, sample, grade }) => ({
      id: JSON.stringify([id, model]),
      item,
      lang,
      sample,
      verdict: grade,
    })),
  }));
  return {
    kind: 'rate',
    ties: false,
    models,
    questions: questionsOf(task).length,
    identical: 0,
    people: [...byPerson].map(([person, own]) => progress(person, own, ({ rating }) => rating === null)),
    preferences: [],
    grades: byLanguage(grades, (some) => gradeRates(some, models, options)),
    agreement: amongPeople(people, options),
  };
}

function sortOut<Line extends { judge: string }>(
  lines: readonly Line[],
): { byPerson: Map<string, Line[]>; machines: Line[] } {
  const byPerson = new Map<string, Line[]>();
  const machines: Line[] = [];
  for (const line of lines) {
    const person = personOfJudge(line.judge);
    if (person === undefined) {
      machines.push(line);
      continue;
    }
    const own = byPerson.get(person) ?? [];
    byPerson.set(person, own);
    own.push(line);
  }
  return { byPerson, machines };
}

function progress<Line>(
  person: string,
  lines: readonly Line[],
  isUnsaid: (line: Line) => boolean,
): PersonProgress {
  return { person, answered: lines.length, cannotSay: lines.filter(isUnsaid).length };
}

function preference(rater: string, pairs: readonly Pair[], options: SideBySideOptions): Preference {
  return { rater, ...byLanguage(pairs, (some) => sideBySide(some, options)) };
}

/** A judge is what it is called, how it may answer, and by which wording it was asked; the name says as much as tells them apart. */
function judgeGroups(lines: readonly VerdictLine[]): { name: string; verdicts: VerdictLine[] }[] {
  const groups = groupVerdicts(lines);
  return groups.map(({ judge, protocol, wording, verdicts }) => {
    const namesakes = groups.filter((group) => group.judge === judge);
    const wordings = new Set(namesakes.map((group) => group.wording));
    const more = [
      ...(new Set(namesakes.map((group) => group.protocol)).size > 1 ? [protocol] : []),
      ...(wordings.size > 1 && wording !== undefined ? [wording.slice(0, 8)] : []),
    ];
    return { name: more.length === 0 ? judge : `${judge} (${more.join(', ')})`, verdicts };
  });
}

function againstPeople(
  judges: readonly Rater[],
  people: readonly Rater[],
  options: SideBySideOptions,
): AgreementRow[] {
  return judges.map((judge) => {
    const pairs = people.flatMap((person) => joinChoices(judge.choices, person.choices));
    return { first: judge.name, second: 'people', ...byLanguage(pairs, (some) => agreement(some, options)) };
  });
}

/** Every two people, and where there are more than two all of those pairs together. */
function amongPeople(people: readonly Rater[], options: SideBySideOptions): AgreementRow[] {
  const couples = people.flatMap((first, at) =>
    people.slice(at + 1).map((second) => ({
      first: first.name,
      second: second.name,
      pairs: joinChoices(first.choices, second.choices),
    })),
  );
  const rows = couples.flatMap(({ first, second, pairs }) => row(first, second, pairs, options));
  if (couples.length < 2) return rows;
  // Who of two is the first is arbitrary, and kappa depends on it once couples are pooled: both ways count alike.
  const both = couples.flatMap(({ pairs }) =>
    pairs.flatMap((pair) => [pair, { ...pair, first: pair.second, second: pair.first }]),
  );
  const halved = (one: Agreement): Agreement => ({ ...one, pairs: one.pairs / 2 });
  return [
    ...row('people', 'people', both, options).map((one) => ({
      ...one,
      byLanguage: Object.fromEntries(
        Object.entries(one.byLanguage).map(([lang, value]) => [lang, halved(value)]),
      ),
      all: halved(one.all),
    })),
    ...rows,
  ];
}

function row(
  first: string,
  second: string,
  pairs: readonly ChoicePair[],
  options: SideBySideOptions,
): AgreementRow[] {
  if (pairs.length === 0) return [];
  return [{ first, second, ...byLanguage(pairs, (some) => agreement(some, options)) }];
}

function byLanguage<T extends { readonly lang: string }, R>(
  all: readonly T[],
  summarise: (some: readonly T[]) => R,
): ByLanguage<R> {
  const languages = [...new Set(all.map(({ lang }) => lang))].sort();
  return {
    byLanguage: Object.fromEntries(
      languages.map((lang) => [lang, summarise(all.filter((one) => one.lang === lang))]),
    ),
    all: summarise(all),
  };
}

function keyOf({ id, sample = 0 }: { id: string; sample?: number | undefined }): string {
  return JSON.stringify([id, sample]);
}
