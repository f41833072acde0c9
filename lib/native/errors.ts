// One error class for everything that can go wrong at run time, with a closed set of codes, so that callers can switch on
// `code` and people can act on the message. Wrong arguments are TypeError or RangeError instead.

/** Every code that an {@link MlitError} may carry. The first block is raised by native code (native/core/error.h). */
export const ERROR_CODES = [
  'FILE_NOT_FOUND',
  'FILE_IO',
  'FILE_DAMAGED',
  'MODEL_UNSUPPORTED',
  'TENSOR_MISSING',
  'TENSOR_MISMATCH',
  'OUT_OF_MEMORY',
  'NOT_FINITE',
  'DISPOSED',
  'GRADIENTS_PENDING',
  'STATE_MISMATCH',
  'CANCELLED',
  'DEVICE_UNAVAILABLE',
  'INTERNAL',
  // raised by TypeScript
  'ADDON_UNAVAILABLE',
  'DATA_INVALID',
  'DATA_EMPTY',
  'TEMPLATE_INVALID',
  'TOKENIZER_UNSUPPORTED',
  'CONFIG_INVALID',
  'RUN_INVALID',
  'RUN_LOCKED',
  'DOWNLOAD_FAILED',
  'CHECKSUM_MISMATCH',
  'UNKNOWN_MODEL',
  'MIXTURE_INVALID',
  'EXPERIMENT_INVALID',
  'STORE_INVALID',
  'STORE_LOCKED',
  'RANKS_DIFFER',
  'RANK_LOST',
  'ADDRESS_UNAVAILABLE',
  'JUDGE_FAILED',
  'JUDGE_LIMIT',
] as const;

/** One of {@link ERROR_CODES}; docs/errors.md says what each means and what to do. */
export type ErrorCode = (typeof ERROR_CODES)[number];

/** Facts about an error: file, line, tensor, field, value, expected … whatever applies. */
export type ErrorFields = Readonly<Record<string, string | number | boolean | readonly (string | number)[]>>;

/** Everything that can go wrong at run time. The message names file, field, value and what was expected. */
export class MlitError extends Error {
  override readonly name = 'MlitError';
  readonly code: ErrorCode;
  readonly fields: ErrorFields;

  constructor(code: ErrorCode, message: string, options: { fields?: ErrorFields; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.fields = options.fields ?? {};
  }
}

/** True for an {@link MlitError}, also one of another copy of the package in the same process. */
export function isMlitError(value: unknown): value is MlitError {
  return value instanceof Error && value.name === 'MlitError' && 'code' in value;
}
