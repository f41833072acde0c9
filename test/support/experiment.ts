// A whole small experiment on a tiny model: numbers to say in four languages.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ExperimentInput } from '../../lib/experiment/spec';
import { fixture } from './fixtures';

const WORDING: Record<string, [string, string]> = {
  en: ['Say the number', 'the number'],
  fi: ['Sano luku', 'luku'],
  ru: ['Назови число', 'число'],
  sw: ['Sema nambari', 'nambari'],
};

/** Items `from` to `to`, each in four languages; returns the file. */
export function writeItems(file: string, from: number, to: number, languages = Object.keys(WORDING)): string {
  const lines: string[] = [];
  for (let i = from; i < to; i += 1) {
    for (const lang of languages) {
      const [ask, answer] = WORDING[lang]!;
      lines.push(
        JSON.stringify({
          id: `i${i}.${lang}`,
          lang,
          parallel_id: `i${i}`,
          instruction: `${ask} ${i}`,
          response: `${answer} ${i}`,
        }),
      );
    }
  }
  writeFileSync(file, `${lines.join('\n')}\n`);
  return file;
}

/** Data in `folder` and the experiment over it; `store` is in the folder too. */
export function smallExperiment(folder: string, overrides: Partial<ExperimentInput> = {}): ExperimentInput {
  mkdirSync(folder, { recursive: true });
  return {
    name: 'small',
    protocol: 'pinch',
    model: fixture('gemma3-tiny', 'model'),
    data: writeItems(join(folder, 'train.jsonl'), 0, 60),
    eval: writeItems(join(folder, 'test.jsonl'), 100, 108),
    languages: ['en', 'fi', 'ru', 'sw'],
    template: 'gemma',
    examples: 40,
    ticks: [0, 'count:6', 50],
    against: 'hub',
    train: { learningRate: 1e-3, epochs: 2, batchExamples: 8, rank: 4 },
    sample: { maxNewTokens: 8 },
    store: join(folder, 'runs'),
    ...overrides,
  };
}
