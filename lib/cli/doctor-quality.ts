// `mlit doctor --quality MODEL`: what integers cost on this model, as tables or as JSON.
import { z } from 'zod';
import { readExamples } from '../data/read';
import { compareQuality, type QualityReport, type QualityRow } from '../eval/quality';
import { DEVICE_PATTERN } from '../model/model';
import { formatNumber } from '../report/numbers';
import { checkOptions } from './common';
import { fetchProgress, note, Progress, printJson, printLine, size, table } from './output';
import { abortOnSignals } from './signals';

/** Flags that have a meaning beside `--quality` alone. */
const qualityOptions = z.strictObject({
  quality: z.string().min(1),
  data: z.array(z.string()).min(1).optional(),
  field: z.record(z.string(), z.string()).default({}),
  template: z.string().default('auto'),
  heldOut: z.int().min(1).default(16),
  steps: z.int().min(1).default(10),
  threads: z.union([z.literal('auto'), z.int().min(1)]).default('auto'),
  device: z.string().regex(DEVICE_PATTERN, 'auto, cpu, cuda or cuda:N').default('auto'),
});

export async function doctorQuality(given: Record<string, unknown>, json: boolean): Promise<void> {
  const { quality: model, data, field, ...options } = checkOptions(qualityOptions, given);
  const { signal, release } = abortOnSignals();
  const progress = new Progress('quality');
  try {
    const examples = data && (await readExamples(data, { need: 'response', field, signal, onNote: note }));
    const report = await compareQuality({
      ...options,
      model,
      examples,
      signal,
      onNote: note,
      onFetch: fetchProgress(),
      onProgress: (fraction, what) => progress.update(fraction, what),
    });
    progress.end();
    await (json ? printJson(report) : printLine(describeQuality(report)));
  } finally {
    progress.end();
    release();
  }
}

function describeQuality({ model, bytes, base, trained, losses, cosine, worst }: QualityReport): string {
  const steps = losses.f32.length;
  const percent = (int8: number, f32: number): string => signed(100 * (int8 / f32 - 1));
  const lossRows = losses.f32.map((f32, i) => {
    const int8 = losses.int8[i]!;
    return [String(i + 1), f32.toFixed(4), int8.toFixed(4), percent(int8, f32)];
  });
  const cosineRows = cosine.byLayer.map((value, layer) => [String(layer), value.toFixed(4)]);
  return [
    `${model}: int8 against f32`,
    `weights: ${size(bytes.int8)} against ${size(bytes.f32)}`,
    '',
    'held-out responses, the base',
    likelihoodTable(base),
    '',
    `held-out responses, after ${steps === 1 ? 'one step' : `${steps} steps`} of LoRA training in each arithmetic`,
    likelihoodTable(trained),
    '',
    'losses of the steps',
    table(['step', 'f32', 'int8', 'difference %'], lossRows),
    '',
    'cosine of the LoRA gradients',
    table(['layer', 'cosine'], [...cosineRows, ['all', cosine.all.toFixed(4)]]),
    '',
    `at worst: ${signed(worst.percent)} % of the base (${worst.lang}), cosine ${worst.cosine.toFixed(4)} (layer ${worst.layer})`,
    '',
    'f32, int8: mean negative log-likelihood, nats a token. difference %: of int8 from f32; interval: 95 %, by a bootstrap over records.',
    'other seed %: how far f32 from another seed is from f32, in the same steps: what chance changes.',
    'The rounding is the same on every instruction set; docs/int8.md says what is rounded and when it pays.',
  ].join('\n');
}

function likelihoodTable(rows: readonly QualityRow[]): string {
  const isTrained = rows.some(({ otherSeed }) => otherSeed !== undefined);
  const header = ['language', 'records', 'tokens', 'f32', 'int8', 'difference %', 'interval'];
  return table(
    isTrained ? [...header, 'other seed %'] : header,
    rows.map(({ lang, records, tokens, f32, int8, difference: { value, low, high }, otherSeed }) => [
      lang,
      String(records),
      String(tokens),
      f32.toFixed(4),
      int8.toFixed(4),
      signed(value),
      low === undefined || high === undefined ? '–' : `${signed(low)} to ${signed(high)}`,
      ...(otherSeed === undefined ? [] : [signed(otherSeed)]),
    ]),
  );
}

/** Two decimals, with the sign of both directions. */
function signed(value: number): string {
  return `${value >= 0.005 ? '+' : ''}${formatNumber(value, 2)}`;
}
