// What pulling asks of a source, whichever it is: the words that pull.ts and its sources share.
import type { NamedModel } from './named-models';

/** What a source gets: the file it writes, and how to tell of progress. It returns the SHA-256 of what it wrote. */
export interface SourceRequest {
  readonly model: NamedModel;
  readonly folder: string;
  readonly target: string;
  readonly signal: AbortSignal | undefined;
  readonly onBytes: (doneBytes: number) => void;
}
