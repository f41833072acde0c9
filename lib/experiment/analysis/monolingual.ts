// E1 and E6: which tuning language carries over to which language of the prompt.
import { drawnQuantities, heatmap } from './figures';
import type { ProtocolResults } from './pinch';
import type { NamedScore } from './score-tables';
import type { Study } from './study';
import { listLanguages } from './words';

export function analyseMonolingual(study: Study, scores: readonly NamedScore[]): ProtocolResults {
  const similarity = study.spec.protocol === 'similarity';
  const arms = study.arms.filter(({ at }) => typeof at.language === 'string' && at.role === undefined);
  const figures = drawnQuantities(study, scores).map((drawn) =>
    heatmap(study, drawn, arms, {
      id: `heatmap-${drawn.id}`,
      caption: `Each number is one model in one language; colours compare within a column only.${
        drawn.parity ? ' Blank: a model against itself, 50 by definition and left out of means.' : ''
      }`,
      paper: similarity
        ? 'The heat map of seven Slavic languages (E6).'
        : 'The heat map of tuning language against evaluation language (E1).',
    }),
  );
  const languages = listLanguages(arms.map(({ at }) => String(at.language)));
  return {
    question: similarity
      ? `Do related languages help one another, script apart: ${languages}?`
      : `How well does a model tuned on one language answer in the others: ${languages}?`,
    tables: [],
    figures,
  };
}
