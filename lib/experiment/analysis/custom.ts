// Arms that a file names itself: compared side by side, language by language.
import { languageName } from '../../text/language-codes';
import type { ResultFigure } from '../results';
import { type Drawn, drawnQuantities, type LanguageGroup, plain } from './figures';
import { groupTables } from './group-tables';
import type { ProtocolResults } from './pinch';
import type { NamedScore } from './score-tables';
import type { Study } from './study';
import { aboutIntervals, briefIntervals } from './words';

export function analyseCustom(study: Study, scores: readonly NamedScore[]): ProtocolResults {
  const labels = study.arms.map(({ label }) => label).join(', ');
  const drawn = drawnQuantities(study, scores);
  const groups = hubAndOthers(study);
  return {
    question: `How do these models compare: ${labels}?`,
    tables: groups.length > 1 ? groupTables(study, drawn, groups) : [],
    figures: drawn.map((each) => armsByLanguage(study, each)),
  };
}

/** Means over all languages hide what becomes of the hub's. */
function hubAndOthers({ spec, languages }: Study): LanguageGroup[] {
  return [
    { name: languageName(spec.hub), languages: languages.filter((lang) => lang === spec.hub) },
    { name: 'other languages', languages: languages.filter((lang) => lang !== spec.hub) },
  ].filter((group) => group.languages.length > 0);
}

function armsByLanguage(study: Study, drawn: Drawn): ResultFigure {
  return {
    kind: 'pairs',
    id: `arms-${drawn.id}`,
    title: drawn.title,
    caption: `${drawn.about} ${aboutIntervals(study)}`,
    brief: `${drawn.brief} ${briefIntervals(study)}`,
    x: 'language of the prompt',
    y: drawn.axis,
    digits: drawn.digits,
    groups: study.languages.flatMap((lang) =>
      study.arms.flatMap(({ id, label }) => {
        const value = drawn.cells.value(id, lang);
        if (value === null) return [];
        const grey = drawn.grey(id, [lang]);
        return [{ group: lang, series: label, value: plain(value), ...(grey && { grey }) }];
      }),
    ),
    ...(drawn.parity !== undefined && { reference: drawn.parity.value }),
  };
}
