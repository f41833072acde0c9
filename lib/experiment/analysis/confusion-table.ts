// Which language comes back when which is asked. A share of right answers does not say whether the others are English or the
// neighbour's language; counts do.
import { languageConfusion } from '../../eval/language-confusion';
import type { MeasureName } from '../../eval/measures/names';
import { UNDECIDED } from '../../text/answer-language';
import type { ResultColumn, ResultTable } from '../results';
import { formatOf } from './measure-tables';
import type { Study } from './study';
import { ARM_COLUMN, aboutIntervals } from './words';

const PASSES: readonly { name: MeasureName; label: string }[] = [
  { name: 'lineLanguagePass', label: 'line-level pass' },
  { name: 'wordLanguagePass', label: 'word-level pass' },
];

/** A row an arm and language of the prompt; nothing where no answer's language was looked for. */
export function confusionTable(study: Study): ResultTable | undefined {
  const counted = study.arms.map(({ id, label }) => {
    const lines = study.languages.flatMap((lang) =>
      [...study.columns(id, lang).values()].flatMap(({ results }) =>
        results.flatMap(({ answerLang, measures }) =>
          answerLang === undefined ? [] : [{ lang, answerLang, measures }],
        ),
      ),
    );
    return { id, label, ...languageConfusion(lines) };
  });
  const found = new Set(counted.flatMap(({ answers, prompts }) => (prompts.length > 0 ? answers : [])));
  if (found.size === 0) return undefined;
  const others = [...found].filter((lang) => lang !== UNDECIDED && !study.languages.includes(lang)).sort();
  const answers = [...study.languages, ...others, UNDECIDED];
  const passes = PASSES.filter(({ name }) => !study.measure(name).empty);
  return {
    id: 'language-confusion',
    title: 'Language of the prompt and language of the answer',
    caption: `Rows: language of the prompt; columns: language of the answer. Counts of answers, pooled over seeds, not estimates. ${UNDECIDED}: no rule settles the language; among these are answers known to be wrong by their script alone. Line-level pass: every line of five words or more is in the language of the prompt; word-level pass, among these and in languages of other scripts than Latin: no lower-case Latin word. ${aboutIntervals(study)}`,
    columns: [
      ARM_COLUMN,
      { key: 'prompt', label: 'prompt', kind: 'text' },
      { key: 'answers', label: 'answers', kind: 'text' },
      ...answers.map((lang): ResultColumn => ({ key: `in-${lang}`, label: lang, kind: 'text' })),
      ...passes.map(
        ({ name, label }): ResultColumn => ({ key: name, label, kind: 'number', ...formatOf(name) }),
      ),
    ],
    rows: counted.flatMap(({ id, label, rows }) =>
      study.languages.flatMap((lang) => {
        const row = rows[lang];
        if (row === undefined) return [];
        return [
          {
            arm: label,
            prompt: lang,
            answers: String(row.n),
            ...Object.fromEntries(answers.map((other) => [`in-${other}`, String(row.answers[other] ?? 0)])),
            ...Object.fromEntries(passes.map(({ name }) => [name, study.measure(name).value(id, lang)])),
          },
        ];
      }),
    ),
  };
}
