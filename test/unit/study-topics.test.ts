// The topics of SIB-200 as questions: parallel in all twelve languages, closed sets that a program can check, and a test in words that
// training does not show.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { LANGUAGES } from '../../examples/quickstart/data.mjs';
import { TOPIC_WORDS, TOPICS } from '../../examples/study/topic-words.mjs';
import { buildTopics, recordOf, type TopicRecord } from '../../examples/study/topics.mjs';
import { readExamples } from '../../lib/data/read';
import { labelItems } from '../../lib/eval/label-set';
import { scratch } from '../support/fixtures';

const sentence = (lang: string, at: number, split: string) => ({
  id: `s-${lang}-${at}`,
  lang,
  text: `text $& ${at} {topics}`,
  topic: TOPICS[at % TOPICS.length]!,
  parallel_id: `s-${at}`,
  split,
});

describe('the words of the topics', () => {
  it('are there in all twelve languages, seven different ones in each', () => {
    expect(Object.keys(TOPIC_WORDS).sort()).toEqual([...LANGUAGES].sort());
    for (const [lang, { train, test, topics }] of Object.entries(TOPIC_WORDS)) {
      expect(new Set(topics).size, lang).toBe(TOPICS.length);
      for (const wording of [...train, test]) {
        expect(wording.split('{topics}').length, lang).toBe(2);
        expect(wording.split('{text}').length, lang).toBe(2);
      }
      expect(train, lang).not.toContain(test);
      expect(train.length).toBe(TOPIC_WORDS.en!.train.length);
    }
  });
});

describe('a record', () => {
  it('asks in the language of the text and keeps the text as it is', () => {
    const record = recordOf(sentence('sw', 4, 'test'), 'test');
    expect(record.instruction).toBe(
      'Soma maandishi kisha uniambie yana mada gani kati ya hizi: sayansi na teknolojia, usafiri, siasa, michezo, afya, burudani, jiografia.\n\ntext $& 4 {topics}',
    );
    expect(record.response).toBe('afya');
    expect(() => recordOf({ ...sentence('sw', 0, 'test'), topic: 'weather' }, 'test')).toThrow(
      "topic 'weather' is none of the study's",
    );
  });
});

describe('the files', () => {
  it('are parallel, in one wording an item, and closed questions to the measures', async () => {
    const folder = scratch();
    const file = join(folder, 'sentences.jsonl');
    const all = LANGUAGES.flatMap((lang) =>
      Array.from({ length: 20 }, (_, at) => sentence(lang, at, at < 14 ? 'train' : 'test')),
    );
    writeFileSync(file, all.map((each) => JSON.stringify(each)).join('\n'));
    const { train, test, majority } = buildTopics(file, join(folder, 'out'));
    const records = readFileSync(train, 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as TopicRecord);
    expect(records).toHaveLength(12 * 14);
    const wordingOf = ({ lang, instruction }: TopicRecord) =>
      TOPIC_WORDS[lang]!.train.findIndex(
        (wording) => wording.startsWith('{text}') === instruction.startsWith('text '),
      );
    for (const item of new Set(records.map((each) => each.parallel_id))) {
      const same = records.filter((each) => each.parallel_id === item);
      expect(new Set(same.map(wordingOf)).size).toBe(1);
      expect(new Set(same.map(({ lang }) => lang)).size).toBe(12);
    }
    expect(new Set(records.map(wordingOf)).size).toBe(2);
    const examples = await readExamples([test], { need: 'reference' });
    expect(labelItems(examples)).toHaveLength(12 * 6);
    // Items 14 to 19 have the topics 0 to 5, each once a language: the first of them is as common as any.
    expect(majority).toEqual({ topic: 'science/technology', share: 1 / 6 });
  });
});
