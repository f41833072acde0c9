// A frozen base in memory with its tokenizer: what adapters, sessions, samplers and scores share.
import { loadAddon } from '../native/addon';
import type {
  Compute,
  NativeLoadOptions,
  NativeModel,
  NativeModelConfig,
  WeightFormat,
} from '../native/types';
import { refuseUnknownOptions } from '../text/options';
import { calibrationOf } from './calibration';
import { chooseCompute, describeChoice, deviceFor } from './compute';
import type { HubOptions } from './hub/snapshot';
import { loadTokenizer, type ModelSource, resolveModel } from './source';
import type { Tokenizer } from './tokenizer';

/** What a device may be called: `auto`, `cpu`, `cuda` (the first card) or `cuda:N`. */
export const DEVICE_PATTERN = /^(?:auto|cpu|cuda(?::\d{1,3})?)$/;

/** What `--base-dtype` takes. */
export const BASE_DTYPES = ['auto', 'f32', 'bf16', 'int8', 'nf4'] as const satisfies readonly (
  | 'auto'
  | WeightFormat
)[];

/** Which model is loaded, and how it is kept. */
export interface ModelLoadOptions {
  /** GGUF file, Hugging Face folder, `hf:owner/name[@revision][:FILE.gguf]`, a name that `mlit pull` knows, or one that was resolved. */
  model: string | ModelSource;
  /** `auto`, `cpu`, `cuda` or `cuda:N`. Default `auto`: the first card where it can be used, else the processor. */
  device?: string;
  /** Compute threads. The first model loaded in a process fixes them. Default: the processors this process may use. */
  threads?: number | 'auto';
  /** `auto`, or an instruction set's name as `mlit doctor` lists them. Default `auto`. */
  isa?: string;
  /**
   * How the frozen weights are kept. Default `auto`: bf16 on a card and where every matrix of the checkpoint is bf16, else f32.
   * `int8` and `nf4` round the matrices of the layers to 8 and 4.5 bits a weight; embedding and head are bf16 then.
   */
  baseDtype?: 'auto' | WeightFormat;
  /**
   * Arithmetic of the base's products. Default `f32`, which is exact. `int8` rounds weights and activations (docs/int8.md has what
   * that costs) and is the processor's; `auto` takes it where a short trial finds it at least 1.5 times as fast.
   */
  compute?: 'auto' | Compute;
  /** @internal Times every operation, for a Trainer's profile. */
  profile?: boolean;
  signal?: AbortSignal | undefined;
  /** Fraction loaded, 0 to 1. */
  onProgress?: ((fraction: number) => void) | undefined;
  /** One line a person should read, about a model of the hub. */
  onNote?: ((note: string) => void) | undefined;
  /** Told as bytes of a model of the hub arrive. */
  onFetch?: HubOptions['onFetch'];
}

export function toLoadOptions(
  options: Pick<ModelLoadOptions, 'device' | 'threads' | 'isa' | 'baseDtype' | 'profile' | 'onProgress'> & {
    compute?: Compute;
  },
): NativeLoadOptions {
  const { device = 'auto', threads = 'auto', isa = 'auto', baseDtype = 'auto', onProgress } = options;
  const { compute = 'f32', profile = false } = options;
  return {
    device,
    threads: threads === 'auto' ? 0 : threads,
    isa,
    format: compute === 'int8' ? 'int8' : baseDtype,
    compute,
    profile,
    ...(onProgress && { onProgress }),
  };
}

function hubOptions({ signal, onNote, onFetch }: ModelLoadOptions): HubOptions {
  return { signal, onNote, onFetch };
}

/** A frozen base in memory with its tokenizer. Disposing it ends all that was made from it. */
export class Model implements AsyncDisposable {
  /** @internal */
  readonly native: NativeModel;
  readonly source: ModelSource;
  readonly tokenizer: Tokenizer;

  private constructor(native: NativeModel, source: ModelSource, tokenizer: Tokenizer) {
    this.native = native;
    this.source = source;
    this.tokenizer = tokenizer;
  }

  /**
   * Loads weights and tokenizer. Disposing the model ends everything made from it.
   *
   * @throws MlitError `FILE_NOT_FOUND`, `FILE_DAMAGED`, `MODEL_UNSUPPORTED`, `TENSOR_MISSING`, `TENSOR_MISMATCH`,
   * `TOKENIZER_UNSUPPORTED`, `OUT_OF_MEMORY`, `DOWNLOAD_FAILED`, `DEVICE_UNAVAILABLE`; the signal's reason when aborted
   */
  static async load(options: ModelLoadOptions): Promise<Model> {
    refuseUnknownOptions('Model.load', options, {
      model: true,
      device: true,
      threads: true,
      isa: true,
      baseDtype: true,
      compute: true,
      profile: true,
      signal: true,
      onProgress: true,
      onNote: true,
      onFetch: true,
    });
    options.signal?.throwIfAborted();
    const { model } = options;
    // A card that can't be used is refused before anything is fetched or read.
    const device = loadAddon().resolveDevice(deviceFor(options), options.isa ?? 'auto');
    const choice = await chooseCompute({ ...options, device });
    const trial = describeChoice(choice);
    if (trial !== undefined) options.onNote?.(trial);
    const source = typeof model === 'string' ? await resolveModel(model, hubOptions(options)) : model;
    const tokenizer = await loadTokenizer(source);
    options.signal?.throwIfAborted();
    const { signal, onProgress } = options;
    const watched = (fraction: number): void => {
      signal?.throwIfAborted(); // ends the load, with the reason
      onProgress?.(fraction);
    };
    const native = await loadAddon().loadModel(source.path, {
      ...toLoadOptions({ ...options, device, compute: choice.compute, onProgress: watched }),
      ...(choice.compute === 'int8' && calibrationOf(tokenizer)),
    });
    if (options.signal?.aborted) {
      await native.dispose();
      options.signal.throwIfAborted();
    }
    if (native.roundingError > 0)
      options.onNote?.(
        `weights rounded to int8 are ${(100 * native.roundingError).toFixed(2)} % off (root mean square)`,
      );
    return new Model(native, source, tokenizer);
  }

  get config(): NativeModelConfig {
    return this.native.config;
  }

  /** Ids that end a turn by the tokenizer's own tokens. */
  get endOfTurnIds(): readonly number[] {
    return this.tokenizer.endOfTurnIds;
  }

  /** Ids after which the model generates nothing more. */
  get eosIds(): readonly number[] {
    return [...new Set([...this.config.eosIds, ...this.tokenizer.eosIds])];
  }

  /** Bytes of the weights in memory. */
  get bytes(): number {
    return this.native.bytes;
  }

  /** `cpu` or `cuda:N`: what `auto` came to. */
  get device(): string {
    return this.native.device;
  }

  /** How the frozen weights are kept: what `auto` came to. */
  get baseDtype(): WeightFormat {
    return this.native.format;
  }

  /** Arithmetic of the base's products: what `auto` came to. */
  get compute(): Compute {
    return this.native.compute;
  }

  /** With `compute: 'int8'`: the root mean square of what rounding changed of the weights, relative, of one row in 64; else 0. */
  get roundingError(): number {
    return this.native.roundingError;
  }

  get disposed(): boolean {
    return this.native.disposed;
  }

  /** Frees its memory, once what is under way has ended. Idempotent. */
  dispose(): Promise<void> {
    return this.native.dispose();
  }

  /** For `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }
}
