// Arms that a file names itself: compared side by side, language by language.
import type { ResultFigure } from '../results';
import { type Drawn, drawnQuantities, plain } from './figures';
import type { ProtocolResults } from './pinch';
import type { NamedScore } from './score-tables';
import type { Study } from './study';
import { aboutIntervals } from './words';

export function analyseCustom(study: Study, scores: readonly NamedScore[]): ProtocolResults {
  const labels = study.arms.map(({ label }) => label).join(', ');
  return {
    question: `How do these models compare: ${labels}?`,
    tables: [],
    figures: drawnQuantities(study, scores).map((drawn) => armsByLanguage(study, drawn)),
  };
}

function armsByLanguage(study: Study, drawn: Drawn): ResultFigure {
  return {
    kind: 'pairs',
    id: `arms-${drawn.id}`,
    title: drawn.title,
    caption: `${drawn.about} ${aboutIntervals(study)}`,
    x: 'language of the prompt',
    y: drawn.axis,
    digits: drawn.digits,
    groups: study.languages.flatMap((lang) =>
      study.arms.flatMap(({ id, label }) => {
        const value = drawn.cells.value(id, lang);
        return value === null ? [] : [{ group: lang, series: label, value: plain(value) }];
      }),
    ),
    ...(drawn.parity !== undefined && { reference: drawn.parity.value }),
  };
}
