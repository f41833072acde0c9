// What a record of any supported form becomes before anything else looks at it.

import type { ChatTurn } from '../model/template';

/** Where a record came from, for messages. */
export interface RecordSource {
  /** The file as it was named by the caller. */
  file: string;
  /** Line number from 1; in a JSON array, the element's number from 1. */
  line: number;
}

/** One record as everything reads it: turns in a language, and the item that it is a translation of. */
export interface Example {
  /** The record's own id, or `<file stem>:<line>` (`<stem>~2:<line>` in a second file of that name). Unique over all files read together. */
  id: string;
  /** BCP 47 language code, `und` where the record names none. */
  lang: string;
  /** Turns in order, roles `system`, `user` and `assistant`. Empty where the record has only `text`. */
  turns: ChatTurn[];
  /** Shared by the translations of one item. */
  parallelId?: string;
  /** A text to be taken as it stands (template `none`). */
  text?: string;
  /** Which of several adapters answers it, counted from 0 in the order in which they were given. */
  adapter?: number;
  /** The record's `checks` as they stand: instructions that a program can check (lib/eval/instruction-checks.ts). */
  checks?: unknown;
  /** The record's `labels` as they stand: the closed set that its response is one of, for label scoring. */
  labels?: unknown;
  /** Where the text comes from, where the record says so: its data set, and what translated it. */
  origin?: { source?: string; translation?: string };
  source: RecordSource;
}

/** `file:line`, as editors understand it. */
export function place(source: RecordSource): string {
  return `${source.file}:${source.line}`;
}
