// From models to what the report shows: tables that every experiment has, the protocol's own tables and figures, and the
// sentences that have to stand beside them. A pure function: same results, same numbers.
import type { MeasureSummary } from '../../eval/measures/types';
import type { ExperimentResults, ResultTable } from '../results';
import type { ExperimentSpec } from '../spec';
import type { ModelResult } from '../types';
import { commonTables, summaryTable } from './common';
import { analyseCustom } from './custom';
import type { JudgedModels } from './judge-scores';
import { analyseMonolingual } from './monolingual';
import { analyseOrders } from './orders';
import { analysePairs } from './pairs';
import { analysePinch, type ProtocolResults } from './pinch';
import { type NamedScore, namedScores } from './score-tables';
import { analyseShares } from './shares';
import { Study } from './study';
import { warningsOf } from './warnings';

export interface AnalyseOptions {
  /** What the experiment's judges said. Default: nobody was asked. */
  judged?: JudgedModels;
  /** Draws of the bootstrap. Default 2,000. */
  resamples?: number;
}

/**
 * @param models every finished model with its items; models that are missing make fewer rows
 * @param summaries what the measures say of the evaluation set, one a model (the first tells of the set)
 */
export function analyse(
  spec: ExperimentSpec,
  models: readonly ModelResult[],
  provenance: ExperimentResults['provenance'],
  summaries: readonly MeasureSummary[] = [],
  options: AnalyseOptions = {},
): ExperimentResults {
  const study = new Study(spec, models, { summaries, ...options });
  const scores = namedScores(study);
  const own = ofProtocol(study, scores);
  const summary = summaryTable(study, scores);
  return {
    version: 1,
    experiment: spec.name,
    protocol: spec.protocol,
    question: own.question,
    tables: inOrder(summary, own.tables, commonTables(study, scores), scores),
    figures: own.figures,
    warnings: [...(own.warnings ?? []), ...warningsOf(study, scores)],
    provenance,
  };
}

/**
 * What was asked comes first, for a terminal shows the first tables only. A protocol without tables of its own asks for arms
 * and languages one by one, as the heat maps do.
 */
function inOrder(
  summary: ResultTable | undefined,
  own: readonly ResultTable[],
  common: readonly ResultTable[],
  scores: readonly NamedScore[],
): ResultTable[] {
  const wanted = [`score-${scores[0]?.id}`, 'likelihood', 'language-match'];
  const found = wanted.map((id) => common.find((table) => table.id === id)).filter((table) => !!table);
  const first = own.length > 0 ? own : found;
  return [...(summary ? [summary] : []), ...first, ...common.filter((table) => !first.includes(table))];
}

function ofProtocol(study: Study, scores: readonly NamedScore[]): ProtocolResults {
  switch (study.spec.protocol) {
    case 'pinch':
      return analysePinch(study, scores);
    case 'languages':
      return analyseOrders(study, scores);
    case 'pairs':
      return analysePairs(study, scores);
    case 'pretraining-share':
      return analyseShares(study, scores);
    case 'custom':
      return analyseCustom(study, scores);
    default:
      return analyseMonolingual(study, scores);
  }
}
