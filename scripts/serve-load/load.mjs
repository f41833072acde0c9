// Many clients at once against a server: each asks again and again, and every answer is held to what was said to the same
// request when it was alone. Every third request streams, and some of those are given up after their first piece.
import OpenAI from 'openai';

const KINDS = 24;

/** A request of one of a few kinds, greedy and drawn, short and long, for all models. */
function requestOf(kind, models) {
  return {
    model: models[kind % models.length],
    prompt: `${'again '.repeat(kind % 7)}question ${kind}`,
    max_tokens: 4 + (kind % 5) * 6,
    temperature: kind % 2,
    seed: kind,
  };
}

/** See load.d.mts. */
export async function load({ url, models, clients, seconds }) {
  const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none', maxRetries: 0, timeout: 60_000 });
  const whole = async (kind) => (await client.completions.create(requestOf(kind, models))).choices[0].text;
  const alone = [];
  for (let kind = 0; kind < KINDS; kind += 1) alone.push(await whole(kind));

  /** The text, or nothing where it was given up. */
  const streamed = async (kind, patient) => {
    let text = '';
    for await (const { choices } of await client.completions.create({
      ...requestOf(kind, models),
      stream: true,
    })) {
      if (!patient) return undefined;
      text += choices[0]?.text ?? '';
    }
    return text;
  };

  const result = { requests: 0, wrong: 0, errors: [] };
  const end = performance.now() + seconds * 1000;
  const talk = async (own) => {
    for (let round = own; performance.now() < end; round += 1) {
      const kind = (own * 7 + round) % KINDS;
      result.requests += 1;
      try {
        const text = await (round % 3 === 0 ? streamed(kind, round % 15 !== 0) : whole(kind));
        if (text !== undefined && text !== alone[kind]) result.wrong += 1;
      } catch (error) {
        result.errors.push(String(error));
      }
    }
  };
  await Promise.all(Array.from({ length: clients }, (_, own) => talk(own)));
  return result;
}
