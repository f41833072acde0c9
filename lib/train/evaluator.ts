// The seam for measures of a dev set that a floor above knows how to take: training says when, and chooses by the figure.
import type { Adapter } from '../model/adapter';
import type { Model } from '../model/model';
import type { NativeAdapterSpec, NativeLoadOptions, NativeMemoryPlan } from '../native/types';

/** A dev record as a prompt with the answer that is hoped for. */
export interface DevItem {
  id: string;
  lang: string;
  /** Ids, exactly as training has them before the response. */
  prompt: Int32Array;
  reference: string;
}

/** What an evaluator is given of the dev set and the run. */
export interface DevContext {
  items: readonly DevItem[];
  /** Ids that end a response. */
  endOfTurnIds: readonly number[];
  /** Tokens of a response at most. */
  maxNewTokens: number;
}

/** What the model says to a dev record as training goes. */
export interface DevAnswer {
  id: string;
  lang: string;
  /** As the model reads it. */
  prompt: string;
  response: string;
}

/** A figure of the dev set; higher is better. */
export interface DevMeasure {
  /** Mean over languages. */
  value: number;
  byLanguage: Record<string, number>;
  /** Some of the responses that it was taken from, for people to look at; the same records each time. */
  answers?: readonly DevAnswer[];
}

/** Measures the adapter as it is now, as often as it is asked to. */
export interface DevMeasuring extends AsyncDisposable {
  /** @throws the signal's reason, soon after it is aborted */
  measure(signal: AbortSignal): Promise<DevMeasure>;
}

/** Given to a trainer whose `select` is not the loss. */
export interface DevEvaluator {
  /** The measure's name, as `select` has it. */
  readonly measures: 'rouge-l';
  /** Native bytes that measuring holds besides the model: part of the run's plan. */
  plan(
    context: DevContext,
    base: { path: string; adapter: NativeAdapterSpec | undefined; load: NativeLoadOptions },
  ): Promise<NativeMemoryPlan>;
  /** Called once, when the model is loaded and before the first step. */
  open(context: DevContext, model: Model, adapter: Adapter | undefined): Promise<DevMeasuring>;
}
