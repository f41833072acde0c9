export interface LoadResult {
  /** Answers asked for, those given up included. */
  requests: number;
  /** Answers that were not those of the same request alone. */
  wrong: number;
  errors: string[];
}
export function load(options: {
  url: string;
  models: readonly string[];
  clients: number;
  seconds: number;
}): Promise<LoadResult>;
