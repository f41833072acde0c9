// The addon's surface, one to one: thin handles without policy. Everything above uses these types and never the addon itself.
// Promises are settled by the process's one compute thread; calls on all handles are served first come, first served.

/** Metadata of a GGUF file. Integers beyond 2^53 are bigint. */
export type GgufValue =
  | string
  | number
  | bigint
  | boolean
  | string[]
  | Int32Array
  | Float32Array
  | Float64Array
  | bigint[]
  | boolean[];
export type GgufMetadata = Record<string, GgufValue>;

export interface NativeModelConfig {
  readonly architecture: 'llama' | 'qwen2' | 'qwen3' | 'gemma3';
  readonly layers: number;
  readonly hidden: number;
  readonly feedForward: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly vocabulary: number;
  readonly contextLength: number;
  readonly window: number;
  readonly tiedHead: boolean;
  readonly eosIds: number[];
}

/** Names as in PEFT: q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj, lm_head. */
export interface NativeAdapterSpec {
  rank: number;
  alpha: number;
  rslora: boolean;
  /** Of training: 0 to less than 1. Default 0. */
  dropout?: number;
  targetModules: string[];
}

export interface NativePackedBatch {
  /** [T] */
  tokens: Int32Array;
  /** [T], from 0 in each document */
  positions: Int32Array;
  /** [documents + 1] */
  cuSeqlens: Int32Array;
  /** [T], -1 = none */
  targets: Int32Array;
  /** [T] */
  weights: Float32Array;
  /** [documents], index into the session's adapters, -1 = bare base */
  adapters: Int32Array;
  /** [documents], number of each document's record within its step, by which dropout draws its masks; needed for that alone */
  records?: Int32Array;
}

/** Bytes by name: base, adapter, parameters (full tuning), optimizer, activations, scratch, logits, cache, backend. */
export type NativeMemoryPlan = { name: string; bytes: number }[];

/** What of each layer is computed again in the backward rather than kept: nothing, the widest activations, everything. Same bits. */
export type Recompute = 'none' | 'activations' | 'layer';

/** Arithmetic of the frozen base's products; all else is float32, and on a card what it multiplies in. */
export type Compute = 'f32' | 'int8';

/** How the matrices of a base are kept; beside int8 and nf4 ones the embedding and the head are bf16, but int8 with compute int8. */
export type WeightFormat = 'f32' | 'bf16' | 'int8' | 'nf4';

export interface NativeTrainOptions {
  maxTokens: number;
  /** Rows with a target in a micro-batch at most; 0 = maxTokens. Default 0. */
  maxTargets?: number;
  /** Of logits held at once. Default: the backend's (64 MiB on the processor, up to 512 MiB on a card). */
  logitsBytes?: number;
  recompute: Recompute;
  /** Trains the model itself: no adapters, and adapter index 0 means the model, which the session has to itself. */
  full: boolean;
  training: boolean;
  /** Of dropout's masks. Default 0. */
  seed?: bigint;
  /** In place of adapters: slots that they come to and leave, as wide as the widest of these. */
  slots?: NativeAdapterSpec[];
  /** With others: optimStep takes the sum of all ranks' gradients, and every rank has to call it. */
  ranks?: NativeRanks;
}

export interface NativeStepSums {
  /** [adapters + 1] sum of weight × nll by adapter; the last is the bare base's. Nats. */
  loss: Float64Array;
  /** [adapters + 1] sum of weights by adapter. */
  weight: Float64Array;
  /** [adapters + 1] with slots: the first row of each whose loss is not finite, -1 = none. */
  notFinite?: number[];
  /** [T] log-probability of each target, 0 where there is none; only when asked for. */
  logprobs?: Float32Array;
}

export interface NativeAdamW {
  learningRate: number;
  beta1: number;
  beta2: number;
  epsilon: number;
  weightDecay: number;
  /** 0 = off */
  maxGradNorm: number;
  /** 1 / total weight of the step */
  gradScale: number;
}

export interface NativeHandle {
  /** Idempotent; resolves once running work on the handle has ended. */
  dispose(): Promise<void>;
  readonly disposed: boolean;
}

/** What a profiled model's backend did: totals, and the spans of the first steps. */
export interface NativeProfile {
  /** One for each op of backend.h in each phase and on each kind of weight. */
  ops: {
    /** forward, loss, backward, optimiser, score, checkpoint, sampling; empty outside of calls on sessions and samplers. */
    phase: string;
    op: string;
    /** qkv, o, gate_up, down, head, embedding, or empty. */
    weight: string;
    out: number;
    in: number;
    calls: number;
    seconds: number;
    rows: number;
    /** Each operand once. */
    bytes: number;
    flops: number;
    integerFlops: number;
  }[];
  phases: { name: string; calls: number; seconds: number }[];
  /** In the order of their ends; times in nanoseconds of `process.hrtime()`. */
  spans: {
    name: string;
    phase: boolean;
    start: number;
    end: number;
    weight?: string;
    rows?: number;
    out?: number;
    in?: number;
  }[];
}

export interface NativeModel extends NativeHandle {
  readonly config: NativeModelConfig;
  readonly bytes: number;
  readonly format: WeightFormat;
  readonly compute: Compute;
  /** What integer products make of the weights, relative: the root mean square of one row in 64. 0 where there are none. */
  readonly roundingError: number;
  readonly path: string;
  /** `cpu` or `cuda:N`. */
  readonly device: string;
  createAdapter(spec: NativeAdapterSpec, seed: bigint): Promise<NativeAdapter>;
  /** folder: a PEFT folder */
  loadAdapter(folder: string): Promise<NativeAdapter>;
  createTrainSession(adapters: NativeAdapter[], options: NativeTrainOptions): Promise<NativeTrainSession>;
  createSampler(adapters: NativeAdapter[], options: NativeSampleOptions): Promise<NativeSampler>;
  /** Of a model loaded with `profile`: what was done since the last time. */
  takeProfile(): Promise<NativeProfile>;
}

export interface NativeAdapter extends NativeHandle {
  readonly spec: NativeAdapterSpec;
  readonly parameterCount: number;
  /** Writes PEFT's two files, each atomically. */
  save(folder: string, baseModel: string): Promise<void>;
  /** The flat parameter vector (a copy). */
  toHost(): Promise<Float32Array>;
}

export interface NativeTrainSession extends NativeHandle {
  readonly memory: NativeMemoryPlan;
  readonly gradientsPending: boolean;
  forwardBackward(
    batch: NativePackedBatch,
    wantLogprobs: boolean,
    next?: NativePackedBatch,
  ): Promise<NativeStepSums>;
  score(batch: NativePackedBatch): Promise<NativeStepSums>;
  forward(batch: NativePackedBatch): Promise<Float32Array>;
  backward(logprobGradients: Float32Array): Promise<void>;
  /** Global L2 norm of gradient × gradScale before clipping. */
  optimStep(adapter: number, params: NativeAdamW): Promise<{ gradNorm: number; step: number }>;
  zeroGradients(): Promise<void>;
  /** slot: of that one alone, which a session with slots asks for. */
  saveState(path: string, slot?: number): Promise<void>;
  loadState(path: string, slot?: number): Promise<void>;
  /** null empties the slot. */
  setAdapter(slot: number, adapter: NativeAdapter | null, seed: bigint): Promise<void>;
  stepCount(adapter: number): number;
  /**
   * Makes calls made so far reject with CANCELLED, a running one between two ops; gradients are discarded. Later calls
   * are not concerned. Harmless after dispose().
   */
  cancel(): void;
}

/** One process of several; every call waits for the others' same call. */
export interface NativeRanks extends NativeHandle {
  readonly rank: number;
  readonly size: number;
  readonly description: string;
  /** What each rank said, in their order; not empty. A rank that is gone: DEVICE_UNAVAILABLE with the field `rank`. */
  gather(text: string): Promise<string[]>;
  /**
   * Sums of gradients on this card of each rank go through the cards' own NCCL from here on. Gives why not, empty where they do. The
   * model on the card has to be loaded.
   */
  useCards(device: string): Promise<string>;
  /** Ends them in order, all ranks together. */
  leave(): Promise<void>;
}

export type NativeRankPlace =
  | { by: 'mpi' }
  | { by: 'tcp'; host: string; port: number; rank: number; size: number; patienceMs: number };

export interface NativeSampleOptions {
  /** sequences at once */
  maxRows: number;
  /** KV capacity in tokens over all sequences; 0 = maxRows × 1024 */
  cacheTokens: number;
  prefillTokens: number;
  /** ids below this may be drawn (padded vocabularies); 0 = all */
  usableTokens: number;
}

export interface NativeSampleRequest {
  id: number;
  prompt: Int32Array;
  /** 0: none, the prompt is scored and nothing drawn. */
  maxNewTokens: number;
  temperature: number;
  topP: number;
  topK: number;
  minP: number;
  seed: bigint;
  stopIds: Int32Array;
  /** -1 = bare base */
  adapter: number;
  /** Likeliest ids reported beside each token, 0 to 20. */
  top: number;
  /** The prompt's tokens from this place on are reported as well, 1 or more; 0: none. They are computed, what is before them may be shared. */
  scoreFrom: number;
}

/** An id and its natural log-probability. */
export interface NativeTokenLogprob {
  token: number;
  logprob: number;
}

export interface NativeSampleEvent {
  id: number;
  /** -1: none was drawn. */
  token: number;
  logprob: number;
  /** not-finite: the logits are no numbers, and the token means nothing. */
  finish: 'none' | 'stop' | 'length' | 'context' | 'not-finite';
  /** Best first; absent where none were asked for. */
  top?: NativeTokenLogprob[];
  /** With the first token, where it was asked for: of the prompt's tokens from `scoreFrom` on. */
  prompt?: { logprob: number; top: NativeTokenLogprob[] }[];
}

export interface NativeSampler extends NativeHandle {
  readonly memory: NativeMemoryPlan;
  /** Prompt tokens since the sampler was made: those computed, and those whose keys and values were there already. */
  readonly stats: { computedTokens: number; sharedTokens: number };
  /** Waits for the next step(). The id is free again once the request has ended or was cancelled. */
  submit(request: NativeSampleRequest): void;
  /** No further events of it, also from a step that is running. Unknown ids are ignored. */
  cancelRequest(id: number): void;
  /** No request is waiting or running. */
  readonly idle: boolean;
  step(): Promise<NativeSampleEvent[]>;
  /** Makes steps made so far reject with CANCELLED and drops their requests. Harmless after dispose(). */
  cancel(): void;
}

export interface NativeDoctor {
  version: string;
  cpu: {
    model: string;
    features: string[];
    usableProcessors: number;
    isas: { name: string; usable: boolean; reason: string }[];
  };
  memory: { totalBytes: number; availableBytes: number; limitBytes: number };
  /** cpu, then cuda; `devices` has each card by its name (cuda:0 …) where one is usable. */
  backends: (NativeBackendReport & { devices?: NativeBackendReport[] })[];
}

/** One of reason and description is empty. */
export interface NativeBackendReport {
  name: string;
  usable: boolean;
  reason: string;
  description: string;
}

export interface NativeLoadOptions {
  /** 'auto' | 'cpu' | 'cuda' | 'cuda:N', or what resolveDevice() made of it; to plan also a card's name. Default 'auto'. */
  device?: string;
  /** 0 = usable processors. The first load in a process fixes the number of threads. */
  threads: number;
  /** 'auto' | 'avx512' | 'avx2' | 'neon' */
  isa: string;
  /** auto: bf16 on a card and where every matrix of the file is bf16, else f32. */
  format: 'auto' | WeightFormat;
  /** Arithmetic of the frozen base's products. int8: the processor's, with format auto or int8. Default f32. */
  compute?: Compute;
  /** Ops are named and timed, for takeProfile(). Default false. */
  profile?: boolean;
  /** Tokens of a little text, its documents end to end, by which integer products choose what they keep in float32. */
  calibration?: Int32Array;
  calibrationLengths?: Int32Array;
  /** Called up to a hundred times, the last time with 1. What it throws ends the load and is what the promise rejects with. */
  onProgress?: (fraction: number) => void;
}

export interface NativeExportOptions {
  /** of the matrices; in safetensors also of the norms, which GGUF keeps in f32 */
  dtype: 'f32' | 'bf16' | 'f16';
  /** a PEFT folder to merge */
  adapter?: string;
  /** As for loading: what it throws ends the export. */
  onProgress?: (fraction: number) => void;
}

/** A metadata entry of a GGUF file that is written, with its exact type there. */
export type NativeGgufEntry = { key: string } & (
  | { type: 'u32' | 'f32'; value: number }
  | { type: 'bool'; value: boolean }
  | { type: 'text'; value: string }
  | { type: 'texts'; value: string[] }
  | { type: 'i32s'; value: Int32Array }
  | { type: 'f32s'; value: Float32Array }
);

export interface NativeExported {
  files: string[];
  /** of all tensors */
  bytes: number;
  /** the head became a matrix of its own, because the adapter changes it */
  untied: boolean;
}

/** A card that need not be there, from its data sheet. */
export interface NativeCard {
  /** As `mlit plan --device` takes it: 'h100-80gb'. */
  name: string;
  memoryBytes: number;
  /** Of that, what the driver and its context take: an assumption. */
  contextBytes: number;
  /** Of logits at a time, as the backend takes them there where nobody asks for a number. */
  logitsBytes: number;
  /** Dense bfloat16 products, 10^12 operations a second. */
  teraflops: number;
  /** Of its memory, 10^9 bytes a second. */
  gigabytesPerSecond: number;
}

/** What ops come to on a card, by backend.h's names. A byte counts once an op. */
export interface NativeCosts {
  ops: Record<string, { readBytes: number; writtenBytes: number; tensorFlops: number; launches: number }>;
  /** Of the host, for the device. */
  waits: number;
}

/** What `require('…/mlit.node')` gives. */
export interface NativeAddon {
  /** Called once by lib/native/addon.ts: native code throws this class. */
  setErrorClass(errorClass: new (code: never, message: string, options?: object) => Error): void;
  doctor(): NativeDoctor;
  /**
   * 'cpu' or 'cuda:N': where a model for this device and instruction set ('auto' = any) would be. Throws DEVICE_UNAVAILABLE with
   * the reason where a card is asked for that can't be used.
   */
  resolveDevice(device: string, isa: string): string;
  /** A short numerical check of the backend (products, attention, loss against known values). */
  selfTest(
    device: string,
    isa: string,
    threads: number,
  ): Promise<{ name: string; passed: boolean; detail: string }[]>;
  /** Rate of large frozen products on this backend, in GFLOP/s (integer multiply-adds count like others); takes about 0.3 s. */
  measureRate(device: string, isa: string, threads: number, compute: Compute): Promise<number>;
  readGgufMetadata(path: string): Promise<GgufMetadata>;
  readModelConfig(path: string): Promise<NativeModelConfig>;
  /** What loading with format auto comes to on a device. */
  automaticFormat(path: string, device: string): Promise<WeightFormat>;
  /** Memory of the device's own that a plan may use; -1 where it computes in the process's. A card's name counts as a device. */
  deviceBytes(device: string): Promise<number>;
  /** Those that a plan can be made for without one. */
  cards(): NativeCard[];
  readPeftConfig(folder: string): Promise<NativeAdapterSpec & { baseModel: string }>;

  /** Waits until all have come. Once in a process by MPI. */
  joinRanks(place: NativeRankPlace): Promise<NativeRanks>;
  /** Why ranks can't meet by MPI here, and cards not reach each other by NCCL; empty where they can. */
  ranksWhyNot(): { mpi: string; nccl: string };

  loadModel(path: string, options: NativeLoadOptions): Promise<NativeModel>;
  /** The text of a config.json for a GGUF file and for the text part of a multimodal folder, else empty. */
  exportConfig(path: string): Promise<string>;
  /** Of a checkpoint's matrices. */
  storedType(path: string): Promise<'f32' | 'bf16' | 'f16' | 'quantised'>;
  /** Writes the weights into a folder that exists. source: a path, streamed, or a model as it is in memory. */
  exportSafetensors(
    source: string | NativeModel,
    options: NativeExportOptions & { folder: string; shardBytes: number },
  ): Promise<NativeExported>;
  /** entries: the tokenizer and names of a folder; those of a GGUF source are copied. */
  exportGguf(
    source: string | NativeModel,
    options: NativeExportOptions & { path: string; entries: NativeGgufEntry[] },
  ): Promise<NativeExported>;
  /** A PEFT folder as llama.cpp's kind of adapter; model: a path, for names, shapes and the order of rows. */
  exportGgufAdapter(
    model: string,
    adapter: string,
    options: { path: string; dtype: 'f32' | 'bf16' | 'f16'; entries: NativeGgufEntry[] },
  ): Promise<NativeExported>;
  planTraining(
    path: string,
    adapters: NativeAdapterSpec[],
    options: NativeTrainOptions,
    load: NativeLoadOptions,
  ): Promise<NativeMemoryPlan>;
  planSampling(
    path: string,
    options: NativeSampleOptions,
    maxAdapterRank: number,
    load: NativeLoadOptions,
  ): Promise<NativeMemoryPlan>;
  /** On a card, whichever: of a micro-batch of documents of these lengths, and of the optimiser's step. path: config.json suffices. */
  trainingCosts(
    path: string,
    adapters: NativeAdapterSpec[],
    options: NativeTrainOptions,
    documents: Int32Array,
    targets: number,
  ): Promise<{ microBatch: NativeCosts; optimizer: NativeCosts }>;
  /** Of one pass that gives each of so many rows its next token, behind so many. */
  samplingCosts(
    path: string,
    adapters: NativeAdapterSpec[],
    rows: number,
    context: number,
  ): Promise<NativeCosts>;
}
