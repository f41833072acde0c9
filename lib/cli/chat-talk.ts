// A talk with several models at once: what each has heard and said, and one turn of all of them, told one after the other.
import { renderPrompt } from '../data/render';
import type { ChatTemplate, ChatTurn } from '../model/template';
import type { Tokenizer } from '../model/tokenizer';
import type { FinishReason, SampleRequest, Sampler } from '../sample/sampler';

/** Who talks, and how answers are drawn. */
export interface TalkOptions {
  sampler: Sampler;
  tokenizer: Tokenizer;
  template: ChatTemplate;
  /** Names of the models, with their indices for the sampler. */
  models: ReadonlyMap<string, number>;
  /** Tokens of one model's talk that there is room for, the answer included. */
  room: number;
  system?: string | undefined;
  sampling: Pick<SampleRequest, 'temperature' | 'topP' | 'seed'> & { maxNewTokens: number };
}

/** Something of an answer; those of one model come together. */
export type TalkEvent =
  | { type: 'begin'; model: string }
  | { type: 'note'; model: string; text: string }
  | { type: 'text'; model: string; text: string }
  | { type: 'end'; model: string; response: string; tokens: number; finishReason: FinishReason };

export class Talk {
  readonly #options: TalkOptions;
  readonly #heard = new Map<string, ChatTurn[]>();
  #chosen: readonly string[];
  /** What models are told before the first turn. */
  system: string | undefined;

  constructor(options: TalkOptions) {
    this.#options = options;
    this.#chosen = [...options.models.keys()];
    this.system = options.system;
  }

  get models(): string[] {
    return [...this.#options.models.keys()];
  }

  /** Those that answer. */
  get chosen(): readonly string[] {
    return this.#chosen;
  }

  /** One model alone answers from here on, or all of them again. False where there is none of that name. */
  choose(name: string): boolean {
    if (name !== 'all' && !this.#options.models.has(name)) return false;
    this.#chosen = name === 'all' ? this.models : [name];
    return true;
  }

  /** Everybody forgets what was said. */
  reset(): void {
    this.#heard.clear();
  }

  /** One turn. What was answered to the end is remembered; where the signal ends it, the turn was never said. */
  async *ask(text: string, signal: AbortSignal): AsyncGenerator<TalkEvent, void, void> {
    const user: ChatTurn = { role: 'user', content: text };
    const heads = new Map<string, TalkEvent[]>();
    const requests: SampleRequest[] = [];
    for (const model of this.#chosen) {
      const { request, note } = this.#request(model, user);
      heads.set(model, [
        { type: 'begin', model },
        ...(note === undefined ? [] : [{ type: 'note', model, text: note } as const]),
      ]);
      if (request) requests.push(request);
    }
    const answered = new Map<string, string>();
    for await (const event of inTurn(heads, this.#events(requests, signal))) {
      if (event.type === 'end') answered.set(event.model, event.response);
      yield event;
    }
    for (const [model, content] of answered) {
      this.#heard.set(model, [...(this.#heard.get(model) ?? []), user, { role: 'assistant', content }]);
    }
  }

  async *#events(
    requests: readonly SampleRequest[],
    signal: AbortSignal,
  ): AsyncGenerator<TalkEvent, void, void> {
    for await (const event of this.#options.sampler.stream(requests, { signal })) {
      const model = event.id;
      if (event.type === 'text') yield { type: 'text', model, text: event.text };
      if (event.type === 'result') {
        const { response, tokens, finishReason } = event;
        yield { type: 'end', model, response, tokens: tokens.length, finishReason };
      }
    }
  }

  /** The oldest turns go first where the talk outgrows its room. */
  #request(model: string, user: ChatTurn): { request?: SampleRequest; note?: string } {
    const { tokenizer, template, sampling, room } = this.#options;
    const heard = this.#heard.get(model) ?? [];
    const endId = template.end.ids.at(-1);
    for (let from = 0; from <= heard.length; from += 2) {
      const { tokens } = renderPrompt([...heard.slice(from), user], {
        tokenizer,
        template,
        system: this.system,
      });
      if (tokens.length + sampling.maxNewTokens > room) continue;
      this.#heard.set(model, heard.slice(from));
      return {
        request: {
          ...sampling,
          id: model,
          prompt: tokens,
          adapter: this.#options.models.get(model) as number,
          endOfTurnIds: endId === undefined ? [] : [endId],
        },
        ...(from > 0 && { note: 'the beginning of the talk is forgotten: there is no more room for it' }),
      };
    }
    return { note: `this is too long: there is room for ${room - sampling.maxNewTokens} tokens` };
  }
}

/** Model by model in their order: what one says while another is heard waits. */
async function* inTurn(
  heads: ReadonlyMap<string, readonly TalkEvent[]>,
  events: AsyncIterable<TalkEvent>,
): AsyncGenerator<TalkEvent, void, void> {
  const waiting = new Map([...heads].map(([model, head]) => [model, [...head]]));
  const order = [...heads.keys()];
  const ended = new Set<string>();
  function* due(): Generator<TalkEvent> {
    while (order.length > 0) {
      const model = order[0] as string;
      yield* (waiting.get(model) ?? []).splice(0);
      if (!ended.has(model)) return;
      order.shift();
    }
  }
  yield* due();
  for await (const event of events) {
    waiting.get(event.model)?.push(event);
    if (event.type === 'end') ended.add(event.model);
    yield* due();
  }
  // Those that could not be asked never end.
  for (const model of order) yield* waiting.get(model) ?? [];
}
