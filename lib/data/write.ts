// Examples back to records, so that a data set that was drawn, joined or imported is a file like any other: what is written
// here and read again is the same Example.
import { writeFileAtomic } from '../native/files';
import type { Example } from './example';

/** The record that reads back as this example: instruction and response where that is all there is, else messages. */
export function toRecord(example: Example): Record<string, unknown> {
  const { id, lang, parallelId, turns, text, adapter, origin } = example;
  const [user, assistant] = turns;
  const plain =
    user?.role === 'user' && (turns.length === 1 || (turns.length === 2 && assistant?.role === 'assistant'));
  return {
    id,
    lang,
    ...(parallelId !== undefined && { parallel_id: parallelId }),
    ...(text !== undefined && { text }),
    ...(plain && { instruction: user.content }),
    ...(plain && assistant !== undefined && { response: assistant.content }),
    ...(!plain && turns.length > 0 && { messages: turns.map(({ role, content }) => ({ role, content })) }),
    ...(adapter !== undefined && { adapter }),
    ...(origin?.source !== undefined && { source: origin.source }),
    ...(origin?.translation !== undefined && { translation: origin.translation }),
  };
}

/**
 * Writes examples as JSONL, whole or not at all.
 *
 * @throws MlitError `FILE_IO`
 */
export async function writeRecords(path: string, examples: Iterable<Example>): Promise<void> {
  await writeFileAtomic(path, chunks(examples));
}

const CHUNK = 1 << 20;

function* chunks(examples: Iterable<Example>): Generator<string> {
  let lines: string[] = [];
  let length = 0;
  for (const example of examples) {
    const line = `${JSON.stringify(toRecord(example))}\n`;
    lines.push(line);
    length += line.length;
    if (length < CHUNK) continue;
    yield lines.join('');
    lines = [];
    length = 0;
  }
  yield lines.join('');
}
