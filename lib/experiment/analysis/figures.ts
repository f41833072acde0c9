// The drawings that several protocols share: which measures are drawn, over groups of languages or cell by cell.
import { type MeasureName, measureDefinition } from '../../eval/measures/names';
import type { ResultFigure } from '../results';
import type { Arm } from '../types';
import type { CellTable, SeededEstimate } from './cells';
import { formatOf } from './measure-tables';
import { aboutScore, type NamedScore } from './score-tables';
import type { Study } from './study';
import { type Grey, greyMatch, greyScore, isPartial } from './trust';
import { aboutIntervals, briefIntervals } from './words';

/** A quantity that figures show: a measure, or the first of the side-by-side scores. */
export interface Drawn {
  id: string;
  title: string;
  /** Axis title with unit. */
  axis: string;
  unit: string;
  about: string;
  /** The same in one line. */
  brief: string;
  cells: CellTable;
  digits: number;
  better: 'higher' | 'lower';
  /** Where it is a score: parity, and the arm that has it by definition in a language. */
  parity?: { value: number; opponent: (lang: string) => Arm | undefined };
  /** Over these languages not to be relied upon. */
  grey: Grey;
}

/** Likelihood, language match, label accuracy and score, as far as the models have them. */
export function drawnQuantities(study: Study, scores: readonly NamedScore[]): Drawn[] {
  const measures: [MeasureName, string, string][] = [
    ['natsPerByte', 'likelihood', 'Negative log-likelihood of the references'],
    ['languageMatch', 'language-match', 'Answers in the language of the prompt'],
    ['labelCorrect', 'label-accuracy', 'Right label by likelihood'],
  ];
  const drawn: Drawn[] = measures
    .filter(([name]) => !study.measure(name).empty)
    .map(([name, id, title]) => {
      const { label, unit, about, better } = measureDefinition(name);
      const { digits = 1 } = formatOf(name);
      return {
        id,
        title,
        axis: unit === 'nats/byte' ? 'nats per byte of the reference' : `${label}, ${unit}`,
        unit,
        about,
        brief: about,
        cells: study.measure(name),
        digits,
        better: better === 'lower' ? 'lower' : 'higher',
        grey: name === 'languageMatch' ? greyMatch(study) : () => false,
      };
    });
  const [score] = scores;
  if (score !== undefined) {
    drawn.push({
      id: `score-${score.id}`,
      title: `${score.name}, ${score.how}`,
      axis: `${score.name}, points`,
      unit: 'points',
      about: aboutScore(study, score),
      brief: 'Mean points per prompt: win 100, tie 50, loss 0; 50 is parity.',
      cells: score.table.cells,
      digits: 1,
      better: 'higher',
      parity: { value: 50, opponent: score.opponent },
      grey: greyScore(score.table),
    });
  }
  return drawn;
}

/** Tuning arms down, languages of the prompts across; coloured by what is better in its own column. */
export function heatmap(
  study: Study,
  drawn: Drawn,
  arms: readonly Arm[],
  texts: { id: string; caption: string; paper?: string },
): ResultFigure {
  const { cells, better, parity } = drawn;
  const languages = study.languages.filter((lang) => arms.some(({ id }) => cells.has(id, lang)));
  const sign = better === 'higher' ? 1 : -1;
  return {
    kind: 'heatmap',
    id: texts.id,
    title: drawn.title,
    caption: `${drawn.about} ${texts.caption} ${aboutIntervals(study)}`,
    brief: `${drawn.brief} Colours compare within a column only.`,
    ...(texts.paper !== undefined && { paper: texts.paper }),
    x: 'language of the prompt',
    y: 'tuned on',
    digits: drawn.digits,
    xOrder: languages,
    yOrder: arms.map(({ label }) => label),
    colorTitle: `better than the column’s mean by, ${parity ? 'points' : drawn.axis}`,
    colorMiddle: 0,
    cells: languages.flatMap((lang) => {
      const column = arms.map(({ id }) => cells.value(id, lang));
      const there = column.filter((cell) => cell !== null);
      const mean = there.reduce((sum, { value }) => sum + value, 0) / there.length;
      return arms.map(({ id, label }, at) => {
        const value = column[at] ?? null;
        return {
          ...(value !== null && drawn.grey(id, [lang]) && { grey: true }),
          x: lang,
          y: label,
          value: value === null ? null : plain(value),
          color: value === null ? null : sign * (value.value - mean),
        };
      });
    }),
  };
}

export interface LanguageGroup {
  name: string;
  languages: readonly string[];
}

/** A mean over a group of languages; parity where the arm is the opponent in all of them. */
function groupMean(drawn: Drawn, arm: string, languages: readonly string[]): SeededEstimate | null {
  const mean = drawn.cells.mean(arm, languages);
  if (mean !== null || drawn.parity === undefined || languages.length === 0) return mean;
  const own = languages.every((lang) => drawn.parity?.opponent(lang)?.id === arm);
  return own ? { value: drawn.parity.value, n: 0 } : null;
}

/** Whether an arm's mean over these languages is not to be relied upon. */
export function greyMean(study: Study, drawn: Drawn, arm: string, languages: readonly string[]): boolean {
  const isOpponent = (lang: string): boolean => drawn.parity?.opponent(lang)?.id === arm;
  return isPartial(study, drawn.cells, arm, languages, isOpponent) || drawn.grey(arm, languages);
}

/** One line a group of languages over arms that have a place on the x axis. */
export function groupCurve(
  study: Study,
  drawn: Drawn,
  places: readonly { arm: Arm; x: number; xLabel?: string }[],
  groups: readonly LanguageGroup[],
  texts: { x: string; caption: string; paper?: string; xIsOrdinal?: boolean },
): ResultFigure | undefined {
  const series = groups
    .map(({ name, languages }) => ({
      name,
      points: places.flatMap(({ arm, x, xLabel }) => {
        const mean = groupMean(drawn, arm.id, languages);
        if (mean === null) return [];
        const { seeds, ...y } = mean;
        return [
          {
            x,
            ...(xLabel !== undefined && { xLabel }),
            y,
            ...(seeds !== undefined && { seeds }),
            ...(greyMean(study, drawn, arm.id, languages) && { grey: true }),
          },
        ];
      }),
    }))
    .filter(({ points }) => points.length > 0);
  if (series.length === 0) return undefined;
  return {
    kind: 'curve',
    id: `curve-${drawn.id}`,
    title: drawn.title,
    caption: `${drawn.about} ${texts.caption} ${aboutIntervals(study)}`,
    brief: `${drawn.brief} ${briefIntervals(study)}`,
    ...(texts.paper !== undefined && { paper: texts.paper }),
    x: texts.x,
    y: drawn.axis,
    digits: drawn.digits,
    series,
    ...(texts.xIsOrdinal && { xIsOrdinal: true }),
    ...(drawn.parity !== undefined && { reference: drawn.parity.value }),
  };
}

/** Without the seeds' own values. */
export function plain({ value, low, high, n }: SeededEstimate) {
  return { value, ...(low !== undefined && { low }), ...(high !== undefined && { high }), n };
}
