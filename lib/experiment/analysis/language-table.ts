// Beside every share of answers in the right language: what the rule that says so does on the set's own references.
import type { ResultTable } from '../results';
import type { Study } from './study';

const percent = (share: number, n: number) => ({ value: 100 * share, n });

/** By language of the prompt; nothing where the answers were not measured or there are no references. */
export function languageRuleTable(study: Study): ResultTable | undefined {
  const [summary] = study.summaries;
  if (summary?.rule === undefined || Object.keys(summary.rule.references).length === 0) return undefined;
  const { identification, rule } = summary;
  const languages = study.languages.filter((lang) => rule.references[lang] !== undefined);
  const column = (key: string, label: string) =>
    ({ key, label, kind: 'number', unit: '%', digits: 1 }) as const;
  return {
    id: 'language-rule',
    title: 'What the language of an answer is told by, on the references themselves',
    caption:
      'Recall: how often language identification alone finds a reference’s language. Right and undecided: the whole rule (script, identification, nearest reference) on each item’s own reference; shuffled: on another item’s reference in the same language, as a wrong answer in the right language would be. Counts on this set, not estimates.',
    columns: [
      { key: 'lang', label: 'language', kind: 'text' },
      column('recall', 'identifier’s recall'),
      column('right', 'references right'),
      column('undecided', 'references undecided'),
      column('shuffledRight', 'shuffled right'),
      column('shuffledUndecided', 'shuffled undecided'),
    ],
    rows: languages.map((lang) => {
      const own = rule.references[lang]!;
      const other = rule.shuffled[lang];
      const known = identification[lang];
      return {
        lang,
        recall: known === undefined ? null : percent(known.recall, known.n),
        right: percent(own.right, own.n),
        undecided: percent(own.undecided, own.n),
        shuffledRight: other === undefined ? null : percent(other.right, other.n),
        shuffledUndecided: other === undefined ? null : percent(other.undecided, other.n),
      };
    }),
  };
}

/** Answers whose language is undecided, as a share; 0 where nothing is known. */
export function undecidedShare(study: Study, arm: string, lang: string): number {
  let undecided = 0;
  let all = 0;
  for (const { results } of study.columns(arm, lang).values()) {
    for (const { measures } of results) {
      if (measures.languageUndecided === undefined) continue;
      all += 1;
      undecided += measures.languageUndecided;
    }
  }
  return all === 0 ? 0 : undecided / all;
}
