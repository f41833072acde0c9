// The tables that every experiment ends in, whatever it asks.
import type { MeasureName } from '../../eval/measures/names';
import type { ResultTable } from '../results';
import { againstMonolingual } from './against-monolingual';
import { confusionTable } from './confusion-table';
import { languageRuleTable } from './language-table';
import { type MeasureTableOptions, measureTables, overviewTable } from './measure-tables';
import { aboutScore, type NamedScore, scoreMean, scoreTables } from './score-tables';
import type { Study } from './study';
import { GREY_UNDECIDED, greyMatch } from './trust';

/** Each arm in one line: what to look at first. */
export function summaryTable(study: Study, scores: readonly NamedScore[]): ResultTable | undefined {
  const [score] = scores;
  const table = overviewTable(study, ['natsPerByte', 'languageMatch', 'exactMatch', 'chrf', 'labelCorrect'], {
    id: 'summary',
    title: 'Models in one line',
    caption: score === undefined ? '' : `${score.name}, ${score.how}: ${aboutScore(study, score)}`,
  });
  if (table === undefined || score === undefined) return table;
  return {
    ...table,
    columns: [
      ...table.columns,
      { key: 'score', label: score.name, kind: 'number', unit: 'points', digits: 1, better: 'higher' },
    ],
    rows: table.rows.map((row, at) => ({
      ...row,
      score: scoreMean(study, score, study.arms[at]!.id, study.languages),
    })),
  };
}

export function commonTables(study: Study, scores: readonly NamedScore[]): ResultTable[] {
  const tables: (ResultTable | undefined)[] = [
    ...compared(study, 'natsPerByte', {
      id: 'likelihood',
      title: 'Negative log-likelihood of the references',
      caption:
        'Nats per UTF-8 byte, Σ nats / Σ bytes over the references; every item informs it, whatever the model answers. Bytes carry unlike much text in unlike scripts: compare within a column. The mean is over languages, each counted once.',
    }),
    ...compared(study, 'languageMatch', {
      id: 'language-match',
      title: 'Answers in the language of the prompt',
      caption: `Share of the answers of which it is settled; the next table has the others. An answer in a script that the language is not written in is not in it. Grey: over ${100 * GREY_UNDECIDED} % undecided.`,
      grey: greyMatch(study),
    }),
    ...measureTables(study, 'languageUndecided', {
      id: 'language-undecided',
      title: 'Answers whose language no rule settles',
      caption:
        'Too short for identification, and not near enough to one reference; those in another script than the language’s are not among them, for they are wrong.',
    }),
    confusionTable(study),
    languageRuleTable(study),
    ...measureTables(study, 'exactMatch', {
      id: 'exact-match',
      title: 'Answers equal to the reference',
      caption: 'After NFKC, lower case, and without punctuation.',
    }),
    ...measureTables(study, 'chrf', {
      id: 'chrf',
      title: 'chrF to the reference',
      caption:
        'Shared character n-grams, as sacreBLEU computes it for a sentence, on folded text; mean over prompts.',
    }),
    ...measureTables(study, 'rougeL', {
      id: 'rouge-l',
      title: 'ROUGE-L to the reference',
      caption: 'Longest common subsequence of Unicode words; mean over prompts.',
    }),
    ...compared(study, 'labelCorrect', {
      id: 'label-accuracy',
      title: 'Right label by likelihood',
      caption: 'The right label of a closed set has the highest log-likelihood given the prompt.',
    }),
    ...measureTables(study, 'labelAnswered', {
      id: 'label-answered',
      title: 'Right label answered',
      caption: 'The answer names the right label of a closed set, and no other.',
    }),
    ...measureTables(study, 'instructionPass', {
      id: 'instructions-kept',
      title: 'Instructions kept',
      caption: 'Answers that pass every check of their record that a program can make.',
    }),
    ...scoreTables(study, scores),
    overviewTable(
      study,
      [
        'empty',
        'truncated',
        'loop',
        'repetition',
        'codeSwitch',
        'lineLanguagePass',
        'responseTokens',
        'responseChars',
      ],
      {
        id: 'form',
        title: 'Form of the answers',
        caption: 'What explains a low score before anything else does.',
      },
    ),
  ];
  return tables.filter((table) => table !== undefined);
}

/** With its differences: to one arm, and to the monolingual models. */
function compared(study: Study, name: MeasureName, options: MeasureTableOptions): ResultTable[] {
  const monolingual = againstMonolingual(study, name, options);
  return [
    ...measureTables(study, name, { ...options, differences: true }),
    ...(monolingual === undefined ? [] : [monolingual]),
  ];
}
