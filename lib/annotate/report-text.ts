// The report as a terminal shows it.
import type { Agreement } from '../eval/agreement';
import type { GradeSummary } from '../eval/grades';
import type { SideBySide } from '../eval/side-by-side';
import type { Estimate } from '../eval/statistics/estimate';
import { printable } from '../native/untrusted';
import type { AnnotationReport, ByLanguage } from './report';

/** Draws a table: header, rows, and of which columns the texts begin at the left. */
export type TableOf = (
  header: readonly string[],
  rows: readonly string[][],
  left: (column: number) => boolean,
) => string;

/** Tables of progress, preference or rates, and agreement, with what has to be known to read them. */
export function describeAnnotation(report: AnnotationReport, table: TableOf): string {
  const { kind, ties, models, questions, identical, people, preferences, grades, agreement } = report;
  const ways =
    kind === 'rate' ? 'excellent, pass or fail' : ties ? 'choices, ties allowed' : 'choices, no ties';
  const lines = [
    `A: ${printable(models[0] as string)}`,
    ...(models[1] === undefined ? [] : [`B: ${printable(models[1])}`]),
    `task: ${ways}; ${questions} questions${identical > 0 ? `, and ${identical} pairs of equal texts, which are ties` : ''}`,
    '',
  ];
  if (people.length === 0) return [...lines, 'Nobody has answered yet.'].join('\n');
  const title = (column: number): boolean => column < 2;
  lines.push(
    table(
      ['person', 'answered', 'of', 'cannot say'],
      people.map(({ person, answered, cannotSay }) => [
        printable(person),
        ...[answered, questions, cannotSay].map(String),
      ]),
      (column) => column === 0,
    ),
  );
  if (preferences.length > 0)
    lines.push(
      '',
      table(
        ['by', 'language', 'n', 'S(A, B)', '95 %', 'win', 'tie', 'lose', 'left out'],
        preferences.flatMap(({ rater, unqualified = [], ...one }) =>
          rowsOf(one).map(([lang, side]) => {
            const grey = lang === 'all' ? unqualified.length > 0 : unqualified.includes(lang);
            return preferenceRow(rater, lang, side, grey);
          }),
        ),
        title,
      ),
      '',
      'S: 50 is parity. People see a pair once, judges in both orders. Intervals are over items, given these answers and these raters.',
      ...preferences.flatMap(({ rater, unqualified = [] }) =>
        unqualified.length === 0
          ? []
          : [
              `${MARK} not to be relied upon: ${printable(rater)} did not qualify on planted pairs in ${unqualified.map((lang) => printable(lang)).join(', ')}, or was not tried there.`,
            ],
      ),
    );
  if (grades !== undefined) lines.push('', ...gradeTables(grades, table));
  if (agreement.length > 0)
    lines.push(
      '',
      table(
        ['first', 'second', 'language', 'n', ...agreementColumns(kind), '95 %', 'kappa', '95 %'],
        agreement.flatMap(({ first, second, ...one }) =>
          rowsOf(one).map(([lang, value]) =>
            [first, second, lang].map((text) => printable(text)).concat(agreementRow(kind, value)),
          ),
        ),
        (column) => column < 3,
      ),
      '',
      ...(kind === 'choose'
        ? [
            'agreement: tie-discounted, in %: 1 if equal, ½ if exactly one says tie, else 0. equal: the same verdict, in %.',
          ]
        : ['equal: the same grade, in %.']),
      'kappa: Cohen’s, what is left of “equal” when chance is taken off. n: answers that both gave.',
    );
  return lines.join('\n');
}

function rowsOf<T>({ byLanguage, all }: ByLanguage<T>): [string, T][] {
  const languages = Object.entries(byLanguage);
  return languages.length === 1 ? languages : [...languages, ['all', all]];
}

/** What stands at a number that is not to be relied upon, as in reports. */
const MARK = '†';

function preferenceRow(rater: string, lang: string, one: SideBySide, grey: boolean): string[] {
  const { score, pairs, wins, ties, losses, leftOut } = one;
  return [
    printable(rater),
    printable(lang),
    String(pairs),
    `${number(score.value, 1)}${grey ? MARK : ''}`,
    interval(score, 1),
    ...[wins, ties, losses, leftOut].map(String),
  ];
}

function gradeTables(grades: ByLanguage<GradeSummary>, table: TableOf): string[] {
  const rates = rowsOf(grades).flatMap(([lang, { models }]) =>
    models.map(({ model, grades: n, excellent, pass, fail, acceptable }) => [
      printable(model),
      printable(lang),
      String(n),
      ...[excellent, pass, fail, acceptable].flatMap(percentWithInterval),
    ]),
  );
  const differences = rowsOf(grades).flatMap(([lang, summary]) =>
    summary.differences.map(({ model, against, excellent, acceptable }) => [
      printable(`${model} − ${against}`),
      printable(lang),
      ...[excellent, acceptable].flatMap(percentWithInterval),
    ]),
  );
  const title = (column: number): boolean => column < 2;
  return [
    table(
      ['model', 'language', 'n', 'excellent', '95 %', 'pass', '95 %', 'fail', '95 %', 'not fail', '95 %'],
      rates,
      title,
    ),
    ...(differences.length > 0
      ? ['', table(['difference', 'language', 'excellent', '95 %', 'not fail', '95 %'], differences, title)]
      : []),
    '',
    'Rates in %, differences in points. Intervals are over items, given these answers and these people.',
  ];
}

function agreementColumns(kind: AnnotationReport['kind']): string[] {
  return kind === 'choose' ? ['agreement', '95 %', 'equal'] : ['equal'];
}

function agreementRow(
  kind: AnnotationReport['kind'],
  { pairs, tieDiscounted, raw, kappa }: Agreement,
): string[] {
  return [
    String(pairs),
    ...(kind === 'choose' ? percentWithInterval(tieDiscounted) : []),
    ...percentWithInterval(raw),
    number(kappa.value, 2),
    interval(kappa, 2),
  ];
}

function percentWithInterval({ value, low, high, n }: Estimate): string[] {
  const percent: Estimate = {
    value: 100 * value,
    ...(low !== undefined && high !== undefined && { low: 100 * low, high: 100 * high }),
    n,
  };
  return [number(percent.value, 1), interval(percent, 1)];
}

function interval({ low, high }: Estimate, digits: number): string {
  // “to” where a bound may be negative: −2–3 would be read as a difference.
  if (low === undefined || high === undefined) return '–';
  return low < 0
    ? `${number(low, digits)} to ${number(high, digits)}`
    : `${number(low, digits)}–${number(high, digits)}`;
}

function number(value: number, digits: number): string {
  return Number.isNaN(value) ? '–' : value.toFixed(digits).replace('-', '−');
}
