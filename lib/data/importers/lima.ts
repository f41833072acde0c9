// LIMA (Zhou et al., "LIMA: Less Is More for Alignment", NeurIPS 2023), as its authors publish it: `conversations`, a list of
// texts of user and assistant in turn, and `source`. Its test records are prompts alone.

import { Import, type Importer, notOfForm, objectOf, stringOf } from './types';

const SET = 'LIMA ({"conversations": [user, assistant, …], "source": …})';

export const importLima: Importer = async (values, options) => {
  const result = new Import(options);
  let dialogues = 0;
  for await (const entry of values) {
    const { conversations, source } = objectOf(entry, SET);
    if (!Array.isArray(conversations) || conversations.length === 0)
      throw notOfForm(entry, SET, '"conversations" to be a list of texts', conversations);
    const texts = conversations.map((text, at) => stringOf(entry, SET, `conversations[${at}]`, text));
    const id = `lima-${result.read}`;
    result.read += 1;
    if (texts.length === 1) {
      result.leaveOut('a prompt without an answer');
      continue;
    }
    const whole = texts.length % 2 === 0 ? texts : texts.slice(0, -1);
    if (whole.some((text) => text.trim() === '')) {
      result.leaveOut('an empty turn');
      continue;
    }
    const common = {
      id,
      lang: options.lang ?? 'en',
      source: typeof source === 'string' && source !== '' ? `lima/${source}` : 'lima',
    };
    if (whole.length === 2) {
      result.keep({ ...common, instruction: whole[0]!, response: whole[1]! });
      continue;
    }
    dialogues += 1;
    const messages = whole.map((content, at) => ({
      role: at % 2 === 0 ? ('user' as const) : ('assistant' as const),
      content,
    }));
    result.keep({ ...common, messages });
  }
  if (dialogues > 0)
    result.notes.push(`${dialogues} records have more than one exchange; they are kept as messages`);
  result.notes.push(
    'the paper trains on 1,000 records of LIMA; which, where a file has more, is not known here (--max takes the first)',
  );
  return result;
};
