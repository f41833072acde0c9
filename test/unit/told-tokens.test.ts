// Which tokens a client is told of, when, and where their text begins: where characters are cut by tokens, where a stop text
// takes some away, where a token that ends an answer is no text.
import { beforeAll, expect, it } from 'vitest';
import { Tokenizer } from '../../lib/index';
import { tokenText } from '../../lib/serve/logprobs';
import { promptTokens, ToldTokens } from '../../lib/serve/told-tokens';
import { fixture } from '../support/fixtures';

let tokenizer: Tokenizer;
let byteIds: number[];
beforeAll(async () => {
  tokenizer = await Tokenizer.fromHuggingFace(fixture('smol-tiny', 'model'));
  byteIds = [...tokenizer.encode('a€b')]; // € is three bytes, each a token of its own in this vocabulary
});
const drawn = (tokens: number[]) => ({ tokens, logprobs: tokens.map((_, at) => -at) });

it('tells a cut character’s tokens with it, each at the place where the character begins', () => {
  expect(byteIds.length).toBe(5);
  const told = new ToldTokens(tokenizer, 10);
  expect(told.piece('a', drawn(byteIds.slice(0, 1))).map(({ offset }) => offset)).toEqual([10]);
  const whole = told.piece('€', drawn(byteIds.slice(1, 4)));
  expect(whole.map(({ id, offset }) => [id, offset])).toEqual(byteIds.slice(1, 4).map((id) => [id, 11]));
  expect(told.rest(drawn(byteIds), 'length', false).map(({ offset }) => offset)).toEqual([12]);
  expect(tokenText(tokenizer, byteIds[1]!)).toBe('bytes:\\xe2');
  expect(tokenText(tokenizer, byteIds[4]!)).toBe('b');
});

it('leaves out what a stop text took away, and the token that ends a turn unless it is wanted', () => {
  const ids = [...'abc'].flatMap((letter) => [...tokenizer.encode(letter)]);
  const stopped = new ToldTokens(tokenizer, 0);
  expect(stopped.piece('a', drawn(ids.slice(0, 1)))).toHaveLength(1);
  expect(stopped.rest(drawn(ids), 'stop', true)).toEqual([]);
  const eos = tokenizer.eosIds[0]!;
  for (const ending of [true, false]) {
    const told = new ToldTokens(tokenizer, 0);
    told.piece('abc', drawn(ids));
    const rest = told.rest(drawn([...ids, eos]), 'end-of-turn', ending);
    expect(rest.map(({ id }) => id)).toEqual(ending ? [eos] : []);
  }
});

it('gives a prompt’s tokens their places, a BOS in front of it none', () => {
  const [bos, ...ids] = [tokenizer.bosId!, ...tokenizer.encode('ab')];
  const tokens = promptTokens(tokenizer, Int32Array.of(bos, ...ids), [null, -1, -2]);
  expect(tokens.map(({ offset }) => offset)).toEqual([0, 0, ...ids.slice(1).map(() => 1)]);
  expect(tokens[0]!.logprob).toBeNull();
});
