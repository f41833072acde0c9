// Which records of a set ask to choose from a closed set of labels: those with `labels` that their response is one of.
import type { Example } from '../data/example';
import type { LabelItem } from './labels';

/** The text that a record wants for an answer: its last turn, where that is the assistant's. */
export function referenceOf(example: Example): string | undefined {
  const last = example.turns.at(-1);
  return last?.role === 'assistant' ? last.content : undefined;
}

/**
 * The labels of a record and which is right; undefined where it has none, where they are not at least two different texts,
 * or where its response is not one of them (a field of this name often means something else in other people's files).
 */
export function labelSetOf(example: Example): { labels: readonly string[]; correct: number } | undefined {
  const { labels } = example;
  const reference = referenceOf(example);
  if (!Array.isArray(labels) || reference === undefined) return undefined;
  const texts = labels.filter((label): label is string => typeof label === 'string' && label.trim() !== '');
  if (texts.length !== labels.length || texts.length < 2 || new Set(texts).size !== texts.length)
    return undefined;
  const correct = texts.indexOf(reference);
  return correct < 0 ? undefined : { labels: texts, correct };
}

/** The records of a set that can be put to {@link scoreLabels}, without their answers. */
export function labelItems(examples: Iterable<Example>): LabelItem[] {
  const items: LabelItem[] = [];
  for (const example of examples) {
    const set = labelSetOf(example);
    if (set === undefined) continue;
    items.push({ id: example.id, lang: example.lang, turns: example.turns.slice(0, -1), ...set });
  }
  return items;
}
