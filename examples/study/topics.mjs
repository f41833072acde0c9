// SIB-200 as questions and answers: 1,004 sentences that people translated into all twelve languages, each with a topic, so that one table
// gives parallel questions whose answers a program can check. The sentences are fetched by whoever runs the study; they are no part of it.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { TOPIC_WORDS, TOPICS } from './topic-words.mjs';

export const FILE = 'text-sib200.jsonl';

/** Where the sentences are, or why the study goes without them. @returns {{ file: string } | { reason: string }} */
export function findSentences() {
  const folder = process.env.MLIT_DATA_DIR;
  const file = folder && join(folder, FILE);
  if (file && existsSync(file)) return { file };
  return {
    reason:
      `${FILE} is not there: MLIT_DATA_DIR names the folder that has it. A line a sentence: id, lang (${Object.keys(TOPIC_WORDS).join(', ')}), text, topic,` +
      ' split (train, dev, test), parallel_id; made from SIB-200 (dadelani/sib-200, CC-BY-SA-4.0)',
  };
}

/** The question about one sentence, its answer and all answers that it allows, in the sentence's own language. */
export function recordOf({ id, lang, text, topic, parallel_id }, split) {
  const words = TOPIC_WORDS[lang];
  const at = TOPICS.indexOf(topic);
  if (words === undefined || at < 0)
    throw new Error(`${FILE}: "${id}": lang '${lang}' or topic '${topic}' is none of the study's`);
  const digest = createHash('sha256').update(`wording ${parallel_id}`).digest();
  const wording = split === 'test' ? words.test : words.train[digest[0] % words.train.length];
  // A function, for a text may hold `$&`.
  const instruction = wording
    .replace('{topics}', () => words.topics.join(words.comma))
    .replace('{text}', () => text);
  return { id, lang, parallel_id, instruction, response: words.topics[at], labels: words.topics };
}

/**
 * Writes train.jsonl and test.jsonl below `folder`: the sentences that SIB-200 trains on, and those it tests on.
 * @returns {{ train: string, test: string, majority: { topic: string, share: number } }} paths, and what the commonest topic of the test gets
 */
export function buildTopics(file, folder) {
  const sentences = readFileSync(file, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  mkdirSync(folder, { recursive: true });
  const paths = {};
  for (const split of ['train', 'test']) {
    const path = join(folder, `${split}.jsonl`);
    const lines = sentences
      .filter((sentence) => sentence.split === split)
      .map((sentence) => JSON.stringify(recordOf(sentence, split)));
    if (lines.length === 0) throw new Error(`${file}: no sentence has the split '${split}'`);
    const partial = `${path}.${process.pid}.partial`;
    writeFileSync(partial, `${lines.join('\n')}\n`);
    renameSync(partial, path);
    paths[split] = path;
  }
  const test = sentences.filter(({ split }) => split === 'test');
  const count = (topic) => test.filter((sentence) => sentence.topic === topic).length;
  const topic = [...TOPICS].sort((a, b) => count(b) - count(a))[0];
  return { ...paths, majority: { topic, share: count(topic) / test.length } };
}
