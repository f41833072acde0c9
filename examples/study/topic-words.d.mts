// Types of topic-words.mjs, for the tests.
export const TOPICS: string[];
export const TOPIC_WORDS: Record<string, { train: string[]; test: string; comma: string; topics: string[] }>;
