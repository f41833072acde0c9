// Answers in, one line of numbers an answer out, and beside them what has to be known to read the numbers: how well the
// identifier and the rule for an answer's language do on this very set.
import { type Example, place } from '../../data/example';
import { MlitError } from '../../native/errors';
import {
  checkAnswerLanguageRule,
  identificationRecall,
  inAnotherScript,
  languageOfAnswer,
  UNDECIDED,
} from '../../text/answer-language';
import type { Identify, LanguageGuess } from '../../text/identify';
import { refuseUnknownOptions } from '../../text/options';
import { checkInstruction, type InstructionCheck, parseInstructionChecks } from '../instruction-checks';
import { labelSetOf, referenceOf } from '../label-set';
import { confusionOf } from './confusion';
import { formOf } from './form';
import { labelsNamed } from './label-answered';
import { type SetLanguages, setLanguages } from './languages';
import { againstReference } from './references';
import { Summary } from './summary';
import type { AnswerLine, MeasureLine, MeasureOptions, MeasureSummary } from './types';

const UNKNOWN = 'und';

interface EvaluationRecord {
  index: number;
  id: string;
  lang: string;
  item: string;
  reference: string | undefined;
  checks: readonly InstructionCheck[];
  labels: { labels: readonly string[]; correct: number } | undefined;
}

interface Context {
  languages: SetLanguages;
  /** Reference answers by item and by the rules' language codes. */
  references: ReadonlyMap<string, Readonly<Record<string, string>>>;
  /** Identification's recall by the rules' language codes. */
  recall: Readonly<Record<string, number>>;
}

/**
 * Measures answers against their evaluation set. Lines come in the set's order, then by sample, whatever the order of the
 * answers. Reference answers are the sets' last assistant turns; records without one have no measures that need it.
 *
 * @param evaluation read with `need: 'reference'` (or `'response'`), so that reference answers are kept
 * @throws MlitError `DATA_INVALID` for an answer that comes twice, whose record the set does not have, or has in another
 * language, and for checks that are none; `RangeError` for labels or checks of a record that the set does not have
 */
export function measureAnswers(
  answers: readonly AnswerLine[],
  evaluation: readonly Example[],
  options: MeasureOptions = {},
): { lines: MeasureLine[]; summary: MeasureSummary } {
  refuseUnknownOptions('measureAnswers', options, {
    identify: true,
    languages: true,
    labels: true,
    checks: true,
  });
  const records = indexRecords(evaluation, options);
  refuseUnknown('labels', options.labels, records);
  refuseUnknown('checks', options.checks, records);
  const ordered = matchAnswers(answers, records);
  const { context, identification, rule } = prepare(records, options);
  const summary = new Summary({ records: [...records.values()], context, identification, rule });
  for (const record of records.values()) {
    if (record.reference !== undefined) summary.reference(record.lang, referenceMeasures(record, context));
  }
  const lines = ordered.map(({ answer, record }) => measureOne(answer, record, context));
  for (const line of lines) summary.answer(line);
  return { lines, summary: summary.finish() };
}

/** A score job's line as measures of the same names that cells are made of. */
export function likelihoodMeasures(line: {
  nats: number;
  tokens: number;
  bytes: number;
}): Record<'nats' | 'targetTokens' | 'bytes', number> {
  return { nats: line.nats, targetTokens: line.tokens, bytes: line.bytes };
}

function indexRecords(
  evaluation: readonly Example[],
  options: MeasureOptions,
): Map<string, EvaluationRecord> {
  const records = new Map<string, EvaluationRecord>();
  for (const [index, example] of evaluation.entries()) {
    const { id, lang, parallelId, source } = example;
    if (records.has(id)) throw invalid(`the evaluation set has two records "${id}"`, { id });
    const own =
      example.checks === undefined
        ? []
        : parseInstructionChecks(example.checks, `${place(source)}: record "${id}"`);
    records.set(id, {
      index,
      id,
      lang,
      item: parallelId ?? id,
      reference: referenceOf(example),
      checks: options.checks?.[id] ?? own,
      labels: options.labels?.[id] ?? labelSetOf(example),
    });
  }
  return records;
}

function refuseUnknown(
  name: string,
  given: Readonly<Record<string, unknown>> | undefined,
  records: ReadonlyMap<string, EvaluationRecord>,
): void {
  for (const id of Object.keys(given ?? {})) {
    if (!records.has(id)) throw new RangeError(`${name}: the evaluation set has no record "${id}"`);
  }
}

function matchAnswers(
  answers: readonly AnswerLine[],
  records: ReadonlyMap<string, EvaluationRecord>,
): { answer: AnswerLine; record: EvaluationRecord }[] {
  const seen = new Set<string>();
  const matched = answers.map((answer) => {
    const { id, lang, sample } = answer;
    const record = records.get(id);
    if (record === undefined) {
      throw invalid(
        `an answer is to record "${id}", which the evaluation set does not have; measure answers against the set they were sampled from`,
        { id },
      );
    }
    if (lang !== record.lang) {
      throw invalid(
        `the answer to record "${id}" says lang ${lang}, the evaluation set says ${record.lang}`,
        { id, lang, expected: record.lang },
      );
    }
    const key = JSON.stringify([id, sample]);
    if (seen.has(key)) throw invalid(`record "${id}" has two answers of sample ${sample}`, { id, sample });
    seen.add(key);
    return { answer, record };
  });
  return matched.sort((a, b) => a.record.index - b.record.index || a.answer.sample - b.answer.sample);
}

function prepare(
  records: ReadonlyMap<string, EvaluationRecord>,
  options: MeasureOptions,
): {
  context: Context;
  identification: MeasureSummary['identification'];
  rule: MeasureSummary['rule'];
} {
  const withReference = [...records.values()].flatMap(({ lang, item, reference }) =>
    reference === undefined || lang === UNKNOWN ? [] : [{ lang, item, text: reference }],
  );
  const codes = options.languages ?? [...new Set(Array.from(records.values(), ({ lang }) => lang))].sort();
  const languages = setLanguages(
    codes.filter((code) => code !== UNKNOWN),
    withReference,
    remembered(options.identify),
  );
  const references = new Map<string, Record<string, string>>();
  for (const { lang, item, text } of withReference) {
    const own = references.get(item) ?? {};
    own[languages.rule(lang)] ??= text;
    references.set(item, own);
  }
  const found =
    languages.identify === undefined
      ? {}
      : identificationRecall(
          withReference.map(({ lang, text }) => ({ lang: languages.rule(lang), text })),
          languages.identify,
        );
  const recall = Object.fromEntries(Object.entries(found).map(([lang, one]) => [lang, one.recall]));
  const checked = checkAnswerLanguageRule([...references.values()], {
    identify: languages.identify,
    recall,
    languages: languages.rules,
  });
  const bySetCode = <T>(byRule: Record<string, T>): Record<string, T> =>
    Object.fromEntries(
      codes.flatMap((code) => {
        const value = byRule[languages.rule(code)];
        return value === undefined ? [] : [[code, value]];
      }),
    );
  return {
    context: { languages, references, recall },
    identification: bySetCode(found),
    rule: { references: bySetCode(checked.references), shuffled: bySetCode(checked.shuffled) },
  };
}

/** References are identified for recall, for the rule's check and beside each answer: once is enough. */
function remembered(identify: Identify | undefined): Identify | undefined {
  if (identify === undefined) return undefined;
  const known = new Map<string, LanguageGuess[]>();
  return (text, top = 1) => {
    if (top !== 1) return identify(text, top);
    let guesses = known.get(text);
    if (guesses === undefined) {
      guesses = identify(text, 1);
      known.set(text, guesses);
    }
    return guesses;
  };
}

function findLanguage(text: string, record: EvaluationRecord, context: Context) {
  const { languages, references, recall } = context;
  const own = references.get(record.item);
  const found = languageOfAnswer(text, {
    identify: languages.identify,
    references: own,
    recall,
    expected: languages.rule(record.lang),
    languages: languages.rules,
  });
  return { lang: languages.shown(found.lang, record.lang), by: found.by };
}

function measureOne(answer: AnswerLine, record: EvaluationRecord, context: Context): MeasureLine {
  const { response } = answer;
  const { lang, reference } = record;
  const { languages } = context;
  const found = findLanguage(response, record, context);
  const measures: Record<string, number> = { ...formOf(answer, lang) };
  Object.assign(measures, languageMeasures(response, found.lang, record, context));
  if (reference !== undefined) {
    Object.assign(measures, againstReference(response, reference, lang));
    const own = findLanguage(reference, record, context).lang;
    if (own !== UNDECIDED && lang !== UNKNOWN) measures.referenceLanguageMatch = own === lang ? 1 : 0;
  }
  const { labels, checks } = record;
  if (labels !== undefined) {
    const named = labelsNamed(response, labels.labels);
    measures.labelAnswered = named.length === 1 && named[0] === labels.correct ? 1 : 0;
  }
  for (const loose of [false, true]) {
    const results = checks
      .map((check) =>
        checkInstruction(response, check, {
          lang,
          identify: languages.identify,
          languages: languages.codes,
          loose,
        }),
      )
      .filter(({ pass }) => pass !== null);
    if (results.length === 0) continue;
    const name = loose ? 'instructionPassLoose' : 'instructionPass';
    measures[name] = results.every(({ pass }) => pass === true) ? 1 : 0;
  }
  return {
    id: record.id,
    sample: answer.sample,
    item: record.item,
    lang,
    answerLang: found.lang,
    answerLangBy: found.by,
    measures,
  };
}

/** What a text in answer to a prompt says of languages; also taken of the references, to see what these measures can reach. */
function languageMeasures(
  text: string,
  found: string,
  record: EvaluationRecord,
  { languages }: Context,
): Record<string, number> {
  const { lang } = record;
  if (lang === UNKNOWN) return {};
  const wrong = found === UNDECIDED ? isForeign(text, record, languages.rule(lang)) : found !== lang;
  const confusion = confusionOf(text, {
    lang: languages.rule(lang),
    identify: languages.identify,
    languages: languages.rules,
  });
  return {
    languageUndecided: wrong === undefined ? 1 : 0,
    ...(wrong !== undefined && { languageMatch: wrong ? 0 : 1 }),
    ...confusion,
  };
}

/** True where the script alone says no, unless the item's own reference is in another script too, as "DNA" is in Chinese. */
function isForeign(text: string, { reference }: EvaluationRecord, lang: string): true | undefined {
  if (reference !== undefined && inAnotherScript(reference, lang)) return undefined;
  return inAnotherScript(text, lang) ? true : undefined;
}

function referenceMeasures(record: EvaluationRecord, context: Context): Record<string, number> {
  const text = record.reference as string;
  return languageMeasures(text, findLanguage(text, record, context).lang, record, context);
}

function invalid(message: string, fields: Record<string, string | number>): MlitError {
  return new MlitError('DATA_INVALID', `measures: ${message}`, { fields });
}
