// What an experiment ends in, before anybody draws it: tables and figures whose every number carries its n and interval.
import type { Estimate } from '../eval/statistics/estimate';

export interface ResultColumn {
  key: string;
  label: string;
  /** `text` for names; `number` for estimates. */
  kind: 'text' | 'number';
  /** Printed in the header: `%`, `nats/byte`, `points`. */
  unit?: string;
  /** Decimals printed. Default 1. */
  digits?: number;
  /** Which way is better, for bold and colours. Default neither. */
  better?: 'higher' | 'lower';
}

/**
 * A cell: a text, an estimate, or `null` for "not applicable". `grey`: shown, but not to be relied upon. `seeds`: the value of
 * each repetition, in the order of the seeds, shown where there are too few for an interval over them.
 */
export type ResultCell = string | (Estimate & { grey?: boolean; seeds?: readonly number[] }) | null;

/** A table with the numbers unrounded. */
export interface ResultTable {
  /** File name stem: `language-match`. */
  id: string;
  title: string;
  /** What the numbers are, what the intervals are conditional on, what is left out and why. Markdown. */
  caption: string;
  columns: readonly ResultColumn[];
  rows: readonly Readonly<Record<string, ResultCell>>[];
}

interface FigureCommon {
  id: string;
  title: string;
  caption: string;
  /** What stands in the picture itself, where the caption is too long for it. */
  brief?: string;
  /** Which figure of the paper it corresponds to, in words, where there is one. */
  paper?: string;
  /** Axis titles with units. */
  x: string;
  y: string;
  /** Decimals of numbers printed in the plot. Default 1. */
  digits?: number;
}

/** A figure as data: what is drawn of it, by kind. */
export type ResultFigure =
  | (FigureCommon & {
      kind: 'heatmap';
      /** `color` is what the cell's colour shows (in E1: value relative to the evaluation language's own column); null cells stay blank. */
      cells: readonly {
        x: string;
        y: string;
        value: Estimate | null;
        color?: number | null;
        grey?: boolean;
      }[];
      xOrder: readonly string[];
      yOrder: readonly string[];
      /** Legend's title: what `color` is. Default: the figure's values themselves. */
      colorTitle?: string;
      /** The value of `color` that is neither good nor bad; then the scale diverges from it. Absent: a scale from low to high. */
      colorMiddle?: number;
    })
  | (FigureCommon & {
      kind: 'curve';
      /** One line a series with its band (low, high); `x` a number, evenly spaced where `xIsOrdinal`. `point` marks single seeds. */
      series: readonly {
        name: string;
        points: readonly {
          x: number;
          xLabel?: string;
          y: Estimate;
          seeds?: readonly number[];
          grey?: boolean;
        }[];
      }[];
      xIsOrdinal?: boolean;
      /** A line to compare with, as parity at 50. */
      reference?: number;
    })
  | (FigureCommon & {
      kind: 'pairs';
      /** Groups along x, one mark a series within, with interval. */
      groups: readonly { group: string; series: string; value: Estimate; grey?: boolean }[];
      /** A line to compare with, as parity at 50. */
      reference?: number;
    })
  | (FigureCommon & {
      kind: 'scatter';
      points: readonly { label: string; x: number; y: Estimate }[];
      /** Written into the plot: `r = …, n = …, p = …`. */
      note?: string;
    });

/** Tables, figures and warnings of an experiment, and where they come from. Plain JSON. */
export interface ExperimentResults {
  version: 1;
  experiment: string;
  protocol: string;
  /** One sentence on what was asked. */
  question: string;
  tables: readonly ResultTable[];
  figures: readonly ResultFigure[];
  /** Sentences that have to stand beside the numbers: weak identifier recall, judges not qualified, undecided shares. */
  warnings: readonly string[];
  /** Everything needed to know what the numbers are of. */
  provenance: {
    model: string;
    modelSha256: string;
    data: readonly { file: string; sha256: string }[];
    eval: readonly { file: string; sha256: string }[];
    seeds: readonly number[];
    /** Arm id → seed → job hashes. */
    jobs: Readonly<Record<string, Readonly<Record<string, Readonly<Record<string, string>>>>>>;
    version: string;
    machine: string;
    train: Readonly<Record<string, unknown>>;
    sample: Readonly<Record<string, unknown>>;
  };
}
