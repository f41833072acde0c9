// A LoRA adapter in memory: created fresh or read from a PEFT folder, written as one; its numbers stay native.
import { loadAddon } from '../native/addon';
import type { NativeAdapter, NativeAdapterSpec } from '../native/types';
import { refuseUnknownOptions } from '../text/options';
import { explainMisfit, refuseNoAdapter } from './kinds';
import type { Model } from './model';

/** Shape and initialisation of a new adapter. */
export interface AdapterOptions {
  /** Default 16. */
  rank?: number;
  /** Default 32; the product is scaled by alpha / rank. */
  alpha?: number;
  /** Scale by alpha / √rank instead (Kalajdzievski, 2023). Default false. */
  rslora?: boolean;
  /** Share of each projection's input that its adapter does not see in training, as in peft. 0 to less than 1. Default 0. */
  dropout?: number;
  /** PEFT's names: `all-linear` (the seven projections of a layer), or a list of them, of `lm_head`, of both. Default `all-linear`. */
  targetModules?: 'all-linear' | readonly string[];
  /** Seed of A; B starts at zero. Default 0. */
  seed?: number | bigint;
}

/** The projections of a layer, by PEFT's names. */
const ALL_LINEAR = ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj'] as const;

/** What can have an adapter. */
const TARGET_MODULES = [...ALL_LINEAR, 'lm_head'] as const;

/** What a list of targets may hold. */
export const TARGETS = ['all-linear', ...TARGET_MODULES] as const;

export type Target = 'all-linear' | (typeof TARGETS)[number][];

/** The modules of a target, each once, in the order of {@link TARGET_MODULES}; other names after them. */
export function targetModules(target: 'all-linear' | readonly string[]): string[] {
  const named = new Set(typeof target === 'string' ? [target] : target);
  if (named.delete('all-linear')) for (const name of ALL_LINEAR) named.add(name);
  const known = TARGET_MODULES.filter((name) => named.delete(name));
  return [...known, ...named];
}

/** One spelling for targets that mean the same: `all-linear`, `[all-linear, lm_head]`, or the modules in order. */
export function canonicalTarget(target: 'all-linear' | readonly string[]): Target {
  const modules = targetModules(target) as (typeof TARGET_MODULES)[number][];
  if (!ALL_LINEAR.every((name) => modules.includes(name))) return modules;
  return modules.length === ALL_LINEAR.length ? 'all-linear' : ['all-linear', 'lm_head'];
}

/** The form that native code takes, with the defaults filled in. */
export function toAdapterSpec(options: Omit<AdapterOptions, 'seed'> = {}): NativeAdapterSpec {
  const {
    rank = 16,
    alpha = 32,
    rslora = false,
    dropout = 0,
    targetModules: target = 'all-linear',
  } = options;
  return {
    rank,
    alpha,
    rslora,
    dropout,
    targetModules: targetModules(target),
  };
}

/** LoRA factors over a model: made anew, loaded from a PEFT folder, trained, saved as one. */
export class Adapter implements AsyncDisposable {
  /** @internal */
  readonly native: NativeAdapter;
  readonly model: Model;

  private constructor(model: Model, native: NativeAdapter) {
    this.model = model;
    this.native = native;
  }

  /** A fresh adapter: A uniform in ±1/√in from the seed, B zero, so that it changes nothing yet. */
  static async create(model: Model, options: AdapterOptions = {}): Promise<Adapter> {
    refuseUnknownOptions('Adapter.create', options, {
      rank: true,
      alpha: true,
      rslora: true,
      dropout: true,
      targetModules: true,
      seed: true,
    });
    return new Adapter(
      model,
      await model.native.createAdapter(toAdapterSpec(options), BigInt(options.seed ?? 0)),
    );
  }

  /**
   * From a PEFT folder (adapter_config.json, adapter_model.safetensors). It fits if its tensors' names and shapes do; that
   * it names another base is told to `onNote`, and in the error where it does not fit.
   *
   * @throws MlitError `TENSOR_MISSING`, `TENSOR_MISMATCH`, `MODEL_UNSUPPORTED`, `FILE_DAMAGED`, `FILE_NOT_FOUND`
   */
  static async load(
    model: Model,
    folder: string,
    options: { onNote?: ((note: string) => void) | undefined } = {},
  ): Promise<Adapter> {
    refuseUnknownOptions('Adapter.load', options, { onNote: true });
    await refuseNoAdapter(folder);
    const native = await model.native.loadAdapter(folder).catch(async (error: unknown) => {
      throw await explainMisfit(error, folder, model.source);
    });
    const adapter = new Adapter(model, native);
    if (options.onNote) {
      const { baseModel } = await loadAddon().readPeftConfig(folder);
      const { baseName } = model.source;
      if (baseModel !== '' && baseModel !== baseName)
        options.onNote(`${folder} was trained on ${baseModel}; here it is put on ${baseName}`);
    }
    return adapter;
  }

  get spec(): NativeAdapterSpec {
    return this.native.spec;
  }

  get parameterCount(): number {
    return this.native.parameterCount;
  }

  /** Writes a folder that peft loads, in float32. `baseModel` becomes base_model_name_or_path. */
  save(folder: string, baseModel: string): Promise<void> {
    return this.native.save(folder, baseModel);
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
