// The learning rate as a pure function of the step, so that a resumed run needs no scheduler state.
import { refuseUnknownOptions } from '../text/options';

export const SCHEDULES = ['constant', 'linear', 'cosine'] as const;
export type Schedule = (typeof SCHEDULES)[number];

/** Form and length of a learning-rate schedule. */
export interface ScheduleOptions {
  schedule: Schedule;
  /** The peak rate. */
  learningRate: number;
  /** Steps of linear warm-up from 0; 0 = none. */
  warmupSteps: number;
  /** Steps of the whole run. */
  totalSteps: number;
}

/** A line where warming up takes more than a third of a run, so that the peak is hardly reached or not at all. */
export function describeWarmup(warmupSteps: number, totalSteps: number): string[] {
  if (warmupSteps * 3 <= totalSteps) return [];
  const reached = warmupSteps >= totalSteps ? ', and the rate never reaches its peak' : '';
  return [
    `warm-up takes ${Math.min(warmupSteps, totalSteps)} of ${totalSteps} steps${reached}: lower --warmup-steps`,
  ];
}

/** A line where the rate is one that no training survives, as 2e4 for 2e-4: AdamW moves each weight by about the rate a step. */
export function describeRate(learningRate: number): string[] {
  if (learningRate <= 0.1) return [];
  return [
    `a learning rate of ${learningRate} moves each weight by about that much a step: 2e-4 is usual for LoRA, 2e-5 for full tuning`,
  ];
}

/**
 * The rate of step `step`, counted from 1: `lr · min(1, step / warmup)`, then constant, or a linear or half-cosine decay
 * that reaches 0 at the last step.
 */
export function learningRateAt(step: number, options: ScheduleOptions): number {
  refuseUnknownOptions('learningRateAt', options, {
    schedule: true,
    learningRate: true,
    warmupSteps: true,
    totalSteps: true,
  });
  const { schedule, learningRate, warmupSteps, totalSteps } = options;
  if (step <= warmupSteps) return learningRate * (step / warmupSteps);
  if (schedule === 'constant') return learningRate;
  const decaySteps = totalSteps - warmupSteps;
  const left = Math.max(0, (totalSteps - step) / decaySteps);
  return schedule === 'linear' ? learningRate * left : learningRate * 0.5 * (1 - Math.cos(Math.PI * left));
}
