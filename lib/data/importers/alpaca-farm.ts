// AlpacaFarm's evaluation set (Dubois et al., 2023): prompts of five sets, with one model's outputs. The paper evaluates on
// 617 prompts; the whole set has 805, of which 188 are OpenAssistant's.

import { MlitError } from '../../native/errors';
import { didYouMean } from '../../text/suggest';
import { Import, type Importer, objectOf, stringOf } from './types';

const SET = 'AlpacaFarm ({"instruction", "input", "output", "generator", "dataset"})';

export const importAlpacaFarm: Importer = async (values, options) => {
  const result = new Import(options);
  const excluded = new Set(options.excludeDataset ?? []);
  const datasets = new Map<string, number>();
  const files = new Set<string>();
  for await (const entry of values) {
    files.add(entry.file);
    const record = objectOf(entry, SET);
    const text = (field: string): string => stringOf(entry, SET, field, record[field]);
    const instruction = text('instruction');
    const input = record.input == null ? '' : text('input');
    const dataset = record.dataset == null ? '' : text('dataset');
    datasets.set(dataset, (datasets.get(dataset) ?? 0) + 1);
    const id = `alpaca-farm-${result.read}`;
    result.read += 1;
    if (excluded.has(dataset)) result.leaveOut(`of the part ${dataset}`);
    else if (instruction.trim() === '') result.leaveOut('an empty instruction');
    else {
      result.keep({
        id,
        lang: options.lang ?? 'en',
        instruction,
        ...(input !== '' && { input }),
        ...(options.withOutput && { response: text('output') }),
        source: dataset === '' ? 'alpaca-farm' : `alpaca-farm/${dataset}`,
      });
    }
  }
  for (const name of excluded) {
    if (datasets.has(name)) continue;
    throw new MlitError(
      'DATA_INVALID',
      `${[...files].join(', ')}: no record is of the part "${name}"; there are ${[...datasets.keys()].sort().join(', ')}${didYouMean(name, datasets.keys())}`,
      { fields: { value: name, option: 'exclude-dataset' } },
    );
  }
  result.notes.push(
    `parts: ${[...datasets]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, n]) => `${name || '(none)'} ${n}`)
      .join(', ')}`,
    'the paper evaluates on 617 prompts; that these are the 805 less their 188 of OpenAssistant (--exclude-dataset oasst) is derived by arithmetic, not stated in it',
    options.withOutput
      ? 'responses are one model’s outputs, not references that people wrote'
      : 'prompts alone: the set’s outputs are one model’s, not references (--with-output keeps them)',
  );
  return result;
};
