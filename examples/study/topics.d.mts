// Types of topics.mjs, for the tests.
export interface Sentence {
  id: string;
  lang: string;
  text: string;
  topic: string;
  parallel_id: string;
  split?: string;
}
export interface TopicRecord {
  id: string;
  lang: string;
  parallel_id: string;
  instruction: string;
  response: string;
  labels: string[];
}
export const FILE: string;
export function findSentences(): { file: string } | { reason: string };
export function recordOf(sentence: Sentence, split: string): TopicRecord;
export function buildTopics(
  file: string,
  folder: string,
): { train: string; test: string; majority: { topic: string; share: number } };
