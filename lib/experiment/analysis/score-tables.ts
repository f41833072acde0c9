// Side-by-side scores as tables: by which program or judge, against whom, and in how many languages an arm is clearly better.
import { TIE_POINTS, TIE_UNDER } from '../../eval/side-by-side';
import { languageName } from '../../text/language-codes';
import type { ResultCell, ResultTable } from '../results';
import type { Arm } from '../types';
import { type JudgedScore, judgedTable } from './judge-scores';
import { byLanguage, shaded } from './measure-tables';
import { type ScoreKind, type ScoreTable, scoreTable } from './scores';
import type { Study } from './study';
import { greyScore, isPartial } from './trust';
import { ARM_COLUMN, aboutIntervals, languageColumns } from './words';

/** A score with what it is called: IF only where every language is compared with its own monolingual model. */
export interface NamedScore {
  id: string;
  /** The program that judges; a judge that is a model, with what it said. */
  kind: ScoreKind | JudgedScore;
  /** `IF` or `S against English`. */
  name: string;
  /** `by chrF, language-gated` */
  how: string;
  against: 'monolingual' | 'hub';
  opponent: (lang: string) => Arm | undefined;
  table: ScoreTable;
}

const KINDS: readonly (ScoreKind & { id: string; how: string })[] = [
  { id: 'chrf-gated', judge: 'chrf', gated: true, how: 'by chrF, language-gated' },
  { id: 'chrf', judge: 'chrf', gated: false, how: 'by chrF' },
  { id: 'rouge-l-gated', judge: 'rougeL', gated: true, how: 'by ROUGE-L, language-gated' },
  { id: 'rouge-l', judge: 'rougeL', gated: false, how: 'by ROUGE-L' },
];

/** All scores that the finished models allow; the first is the one that figures show. None without references. */
export function namedScores(study: Study): NamedScore[] {
  const { spec } = study;
  if (spec.against === 'none') return [];
  const monolingual = study.languages.filter((lang) => study.monolingual(lang) !== undefined);
  const scores: NamedScore[] = [];
  const add = (
    against: NamedScore['against'],
    name: string,
    opponent: (lang: string) => Arm | undefined,
  ): void => {
    for (const { id, how, ...kind } of KINDS) {
      const table = scoreTable(study, kind, opponent);
      if (!table.cells.empty)
        scores.push({
          id: `${against === 'hub' ? 'against-hub' : 'if'}-${id}`,
          kind,
          name,
          how,
          against,
          opponent,
          table,
        });
    }
  };
  const judged = judgedNames(study);
  if (spec.against === 'monolingual' && monolingual.length > 0)
    add('monolingual', 'IF', (lang) => study.monolingual(lang));
  const { hub } = study;
  if (hub !== undefined && (spec.against === 'hub' || monolingual.length < study.languages.length))
    add('hub', `S against ${languageName(spec.hub)}`, () => hub);
  // The paper's own measure is a judge's: it comes first where it is to be relied upon.
  const isFirst = ({ kind }: NamedScore): boolean => 'who' in kind && kind.isWhole;
  return [...judged.filter(isFirst), ...scores, ...judged.filter((score) => !isFirst(score))];
}

/** Scores by the experiment's judges, of whom some may have nothing to say yet. */
function judgedNames(study: Study): NamedScore[] {
  const { against, hub } = study.spec;
  if (against === 'none') return [];
  return study.judgedScores.flatMap((kind, at): NamedScore[] => {
    if (kind.table.cells.empty) return [];
    const number = at === 0 ? '' : `-${at + 1}`;
    return [
      {
        id: `${against === 'hub' ? 'against-hub' : 'if'}-judge${number}`,
        kind,
        name: against === 'hub' ? `S against ${languageName(hub)}` : 'IF',
        how: `by ${kind.who}`,
        against,
        opponent: (lang) => (against === 'hub' ? study.hub : study.monolingual(lang)),
        table: kind.table,
      },
    ];
  });
}

export function scoreTables(study: Study, scores: readonly NamedScore[]): ResultTable[] {
  return scores.flatMap((score) => {
    const table = oneTable(study, score);
    return 'who' in score.kind
      ? [table, judgedTable(study, { id: `${table.id}-pairs`, title: table.title }, score.kind)]
      : [table];
  });
}

function oneTable(study: Study, score: NamedScore): ResultTable {
  const { cells } = score.table;
  const format = { unit: 'points', digits: 1, better: 'higher' } as const;
  const languages = study.languages.filter((lang) => study.arms.some(({ id }) => cells.has(id, lang)));
  const grey = greyScore(score.table);
  const opponents = score.against === 'monolingual' ? 'monolingual' : languageName(study.spec.hub);
  return {
    id: `score-${score.id}`,
    title: `${score.name}, ${score.how}`,
    caption: `${aboutScore(study, score)} Better and worse count the languages whose interval is wholly over, or under, 50. ${aboutIntervals(study)}`,
    columns: [
      ARM_COLUMN,
      ...languageColumns(languages, format),
      { key: 'mean', label: 'mean', kind: 'number', ...format },
      { key: 'better', label: `better than ${opponents} in`, kind: 'text' },
      { key: 'worse', label: `worse than ${opponents} in`, kind: 'text' },
    ],
    rows: study.arms
      .filter(({ id }) => languages.some((lang) => cells.has(id, lang)))
      .map(({ id, label }) => {
        const own = languages.map((lang) => cells.value(id, lang)).filter((cell) => cell !== null);
        const count = (holds: (cell: (typeof own)[number]) => boolean): string =>
          `${own.filter(holds).length} of ${own.length}`;
        return {
          arm: label,
          ...byLanguage(languages, (lang) => shaded(cells.value(id, lang), grey(id, [lang]))),
          mean: scoreMean(study, score, id, languages),
          better: count(({ low }) => low !== undefined && low > 50),
          worse: count(({ high }) => high !== undefined && high < 50),
        };
      }),
  };
}

/** Grey where the arm lacks a language that others have, or most pairs say nothing. */
export function scoreMean(
  study: Study,
  { table, opponent }: NamedScore,
  arm: string,
  languages: readonly string[],
): ResultCell {
  const partial = isPartial(study, table.cells, arm, languages, (lang) => opponent(lang)?.id === arm);
  return shaded(table.cells.mean(arm, languages), partial || greyScore(table)(arm, languages));
}

/** What a score is, for captions. */
export function aboutScore(study: Study, { kind, against, table }: NamedScore): string {
  const opponent =
    against === 'monolingual'
      ? 'the model tuned on the language of the prompt alone, with the whole budget'
      : `the model tuned on ${languageName(study.spec.hub)} alone: this is not the instruction-following score`;
  const rule = `Mean points per prompt against ${opponent}: win 100, tie 50, loss 0; 50 is parity, and an arm against itself is left out.`;
  if ('who' in kind) {
    return `${rule} The judge, ${kind.who}, reads both answers twice, the order swapped: chosen both times is a win, one choice each a tie. Pairs without a valid verdict are left out. Grey: the judge did not qualify on planted pairs in that language.`;
  }
  const judge = kind.judge === 'chrf' ? 'chrF' : 'ROUGE-L';
  const gate = kind.gated
    ? ' An answer known to be in a wrong language loses to one that is not; two such tie.'
    : '';
  const far = table.pairs === 0 ? 0 : Math.round((100 * table.farTies) / table.pairs);
  return `${rule} The winner has the higher ${judge} to the reference; under ${TIE_POINTS} points apart, or both under ${TIE_UNDER}, is a tie (${far} % of pairs tie because both are under ${TIE_UNDER}).${gate} A program judges closeness to one reference, not helpfulness.`;
}
