// A talk with several models: each has a history of its own, one is heard after the other, and what was cancelled was never said.
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Talk, type TalkEvent } from '../../lib/cli/chat-talk';
import { Adapter, ChatTemplate, Model, Sampler } from '../../lib/index';
import { printable } from '../../lib/native/untrusted';
import { fixture } from '../support/fixtures';

let model: Model;
let sampler: Sampler;
let template: ChatTemplate;
beforeAll(async () => {
  model = await Model.load({ model: fixture('smol-tiny', 'model'), threads: 2 });
  template = await ChatTemplate.create({ tokenizer: model.tokenizer });
  const adapter = await Adapter.load(model, fixture('smol-tiny', 'adapter'));
  sampler = await Sampler.create({ model, adapters: [adapter], maxRows: 2 });
});
afterAll(() => model.dispose());

const talkOf = (room = 512): Talk =>
  new Talk({
    sampler,
    tokenizer: model.tokenizer,
    template,
    models: new Map([
      ['base', -1],
      ['tuned', 0],
    ]),
    room,
    sampling: { maxNewTokens: 8, temperature: 0, topP: 1, seed: 0 },
  });
const never = new AbortController().signal;
async function turn(talk: Talk, text: string, signal = never): Promise<TalkEvent[]> {
  const events: TalkEvent[] = [];
  for await (const event of talk.ask(text, signal)) events.push(event);
  return events;
}
const answers = (events: TalkEvent[]): string[] =>
  events.flatMap((event) => (event.type === 'end' ? [event.response] : []));

it('is told model by model, pieces making up answers', async () => {
  const events = await turn(talkOf(), 'why?');
  const order = events.map((event) => event.model);
  expect(order).toEqual([...order].sort());
  expect(events.filter(({ type }) => type === 'begin')).toHaveLength(2);
  for (const name of ['base', 'tuned']) {
    const own = events.filter((event) => event.model === name);
    const text = own.map((event) => (event.type === 'text' ? event.text : '')).join('');
    expect([text]).toEqual(answers(own));
  }
});

it('remembers what each has said, and forgets it when told', async () => {
  const talk = talkOf();
  const first = answers(await turn(talk, 'why?'));
  const second = answers(await turn(talk, 'why?'));
  expect(second).not.toEqual(first);
  expect([talk.choose('nobody'), talk.choose('tuned'), talk.chosen]).toEqual([false, true, ['tuned']]);
  talk.reset();
  expect(answers(await turn(talk, 'why?'))).toEqual(first.slice(1));
  talk.reset();
  talk.system = 'be brief';
  expect(answers(await turn(talk, 'why?'))).not.toEqual(first.slice(1));
});

it('never said what was cancelled', async () => {
  const talk = talkOf();
  const abort = new AbortController();
  const first = answers(await turn(talk, 'why?'));
  for await (const _ of talk.ask('what else?', abort.signal)) {
    abort.abort(new Error('enough'));
    break;
  }
  await expect(turn(talk, 'what else?', abort.signal)).rejects.toThrow('enough');
  const other = talkOf();
  expect(answers(await turn(other, 'why?'))).toEqual(first);
  expect(answers(await turn(talk, 'so?'))).toEqual(answers(await turn(other, 'so?')));
});

it('forgets its beginning where there is no more room, and says so', async () => {
  const talk = talkOf(80);
  let notes: string[] = [];
  for (let i = 0; i < 6 && notes.length === 0; i += 1) {
    const events = await turn(talk, 'why?');
    expect(answers(events)).toHaveLength(2);
    notes = events.flatMap((event) => (event.type === 'note' ? [event.text] : []));
  }
  expect(notes[0]).toMatch(/beginning of the talk is forgotten/);
  const events = await turn(talk, 'why '.repeat(100));
  expect(answers(events)).toEqual([]);
  expect(events.flatMap((event) => (event.type === 'note' ? [event.text] : []))).toHaveLength(2);
});

it('shows control characters on a terminal, and leaves all writing as it is', () => {
  expect(printable('a\u001b[31m\u0007\r\u009b\u007f\u202e', true)).toBe(
    'a\\u{1b}[31m\\u{7}\\u{d}\\u{9b}\\u{7f}\\u{202e}',
  );
  const text = 'שלום\tعربي\n‏नमस्ते 👩‍👩‍👧';
  expect(printable(text, true)).toBe(text);
});
