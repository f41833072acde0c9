// What a mixture turned out to be, in a form that outlives its files: equal items are not equal tokens, and English may hide
// in a template, so both are counted and shown by language.
import { createHash } from 'node:crypto';
import type { Example } from '../example';
import { countTargets, type RenderOptions, renderExample } from '../render';
import type { MixtureManifest, MixturePolicy } from './types';

export interface ManifestOptions {
  /** The recipe's canonical line. */
  spec: string;
  policy: MixturePolicy;
  seed: number;
  /** With it one item a language is shown as the model will see it, and tokens are counted. */
  rendering?: RenderOptions | undefined;
  /** False: show the item, but count no tokens. Default true. */
  countTokens?: boolean | undefined;
  /** The same examples in an order in which many are counted faster. */
  inTableOrder?: readonly Example[] | undefined;
}

type LanguageManifest = MixtureManifest['languages'][string];

export function describeMixture(examples: readonly Example[], options: ManifestOptions): MixtureManifest {
  const { spec, policy, seed, rendering } = options;
  const languages: Record<string, LanguageManifest> = {};
  const sources = new Map<string, Set<string>>();
  const systems = new Map<string, Set<string>>();
  const counted = options.inTableOrder ?? examples;
  for (const example of counted) {
    const { lang, origin } = example;
    languages[lang] ??= {
      examples: 0,
      responseBytes: 0,
      sources: [],
      translationSystems: [],
    };
    const entry = languages[lang];
    entry.examples += 1;
    entry.responseBytes += responseBytes(example);
    if (origin?.source !== undefined) collect(sources, lang, origin.source);
    if (origin?.translation !== undefined) collect(systems, lang, origin.translation);
    if (rendering === undefined || options.countTokens === false) continue;
    entry.tokens ??= 0;
    entry.supervisedTokens ??= 0;
    for (const { tokens, weights } of renderExample(example, rendering)) {
      entry.tokens += tokens.length;
      entry.supervisedTokens += countTargets(weights);
    }
  }
  for (const [lang, entry] of Object.entries(languages)) {
    if (rendering !== undefined) {
      const example = examples.find((each) => each.lang === lang);
      if (example !== undefined) entry.rendered = renderedText(example, rendering);
    }
    entry.sources = [...(sources.get(lang) ?? [])].sort();
    entry.translationSystems = [...(systems.get(lang) ?? [])].sort();
  }
  return {
    version: 1,
    spec,
    policy,
    seed,
    n: examples.length,
    idsHash: hashIds(counted.map((example) => example.id)),
    languages: Object.fromEntries(Object.entries(languages).sort(([a], [b]) => (a < b ? -1 : 1))),
  };
}

/** SHA-256 over the sorted ids, a line each: the set, whatever the order. */
function hashIds(ids: readonly string[]): string {
  const hash = createHash('sha256');
  const sorted = [...ids].sort();
  for (let from = 0; from < sorted.length; from += 10_000) {
    hash.update(`${sorted.slice(from, from + 10_000).join('\n')}\n`);
  }
  return hash.digest('hex');
}

/** UTF-8 bytes of what is learnt: the assistant's turns, or the plain text. */
export function responseBytes(example: Example): number {
  if (example.text !== undefined) return Buffer.byteLength(example.text);
  let bytes = 0;
  for (const turn of example.turns) if (turn.role === 'assistant') bytes += Buffer.byteLength(turn.content);
  return bytes;
}

function renderedText(example: Example, rendering: RenderOptions): string {
  return renderExample(example, rendering)
    .map(({ tokens }) => rendering.tokenizer.decode(tokens))
    .join('\n');
}

function collect(sets: Map<string, Set<string>>, lang: string, value: string): void {
  const set = sets.get(lang);
  if (set === undefined) sets.set(lang, new Set([value]));
  else set.add(value);
}
