// E2 and E3: what a share of other languages does to the hub's own, to those in the mixture, and to those that are not.
import { languageName } from '../../text/language-codes';
import type { ResultFigure, ResultTable } from '../results';
import type { Arm } from '../types';
import { drawnQuantities, groupCurve, type LanguageGroup } from './figures';
import { aboutGroups, groupTables } from './group-tables';
import type { NamedScore } from './score-tables';
import type { Study } from './study';

export interface ProtocolResults {
  question: string;
  tables: ResultTable[];
  figures: ResultFigure[];
  warnings?: string[];
}

export function analysePinch(study: Study, scores: readonly NamedScore[]): ProtocolResults {
  const ticks = study.arms
    .filter(({ at }) => typeof at.percent === 'number')
    .map((arm) => ({ arm, x: arm.at.percent as number }))
    .sort((a, b) => a.x - b.x)
    .map(({ arm, x }) => ({ arm, x, xLabel: tickLabel(arm) }));
  const groups = pinchGroups(study);
  const unseen = groups.some(({ name }) => name.startsWith('unseen'));
  const hub = languageName(study.spec.hub);
  const caption = aboutGroups(groups);
  const drawn = drawnQuantities(study, scores);
  const figures = drawn
    .map((each) =>
      groupCurve(study, each, ticks, groups, {
        x: `share of the budget spread over all languages, %`,
        caption,
        paper: unseen
          ? 'The curves of seen and unseen languages over the share of multilingual examples (E3).'
          : 'The curve of scores over the share of multilingual examples (E2).',
        xIsOrdinal: true,
      }),
    )
    .filter((figure) => figure !== undefined);
  return {
    question: `What does a share of other languages in a set that is else ${hub} do to answers in ${unseen ? 'the languages it has, in those it has not, and in' : 'them, and in'} ${hub}?`,
    tables: groupTables(study, drawn, groups),
    figures,
  };
}

function tickLabel({ at }: Arm): string {
  return at.count === undefined ? `${at.percent}` : `${at.count} examples`;
}

/** The hub; the mixture's other languages; those that are evaluated only. */
function pinchGroups(study: Study): LanguageGroup[] {
  const { hub } = study.spec;
  const tuned = new Set<string>();
  for (const { mixture } of study.arms) {
    if (mixture?.kind === 'pinch') for (const lang of mixture.languages) tuned.add(lang);
  }
  const others = study.languages.filter((lang) => lang !== hub);
  const seen = others.filter((lang) => tuned.has(lang));
  const unseen = others.filter((lang) => !tuned.has(lang));
  return [
    { name: languageName(hub), languages: study.languages.filter((lang) => lang === hub) },
    { name: unseen.length > 0 ? 'seen' : 'other languages', languages: seen },
    { name: 'unseen', languages: unseen },
  ].filter(({ languages }) => languages.length > 0);
}
