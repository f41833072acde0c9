// Results on stdout, progress on stderr: a bar on a terminal, plain lines elsewhere, so that pipes stay clean.
import { stderr, stdout } from 'node:process';
import { inFlags } from './flags';

export { plainTable as table } from '../report/plain-table';

/** Writes to stdout and waits where a pipe is full. */
export function print(text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    stdout.write(text, (error) => (error ? reject(error) : resolve()));
  });
}

export function printLine(text: string): Promise<void> {
  return print(`${text}\n`);
}

export function printJson(value: unknown): Promise<void> {
  return printLine(JSON.stringify(value));
}

/** A line for people, on stderr, above the bar where there is one. */
export function note(text: string): void {
  bar?.clear();
  stderr.write(`${inFlags(text)}\n`);
  bar?.redraw();
}

let bar: Progress | undefined;

const PLAIN_INTERVAL_MS = 5000;
const WIDTH = 24;

/** One line that moves on a terminal; elsewhere a line now and then, and the last. */
export class Progress {
  readonly #label: string;
  readonly #terminal: boolean;
  #last = 0;
  #text = '';

  constructor(label: string) {
    this.#label = label;
    this.#terminal = stderr.isTTY === true;
  }

  /** fraction 0 to 1; detail is shown behind it. */
  update(fraction: number, detail: string): void {
    bar = this;
    const done = Math.round(Math.min(1, Math.max(0, fraction)) * WIDTH);
    const percent = `${Math.floor(fraction * 100)}`.padStart(3);
    if (this.#terminal) {
      const drawn = `${'█'.repeat(done)}${'░'.repeat(WIDTH - done)}`;
      this.#text = `${this.#label} ${drawn} ${percent} % ${detail}`.slice(0, (stderr.columns ?? 100) - 1);
      this.redraw();
      return;
    }
    const now = Date.now();
    if (now - this.#last < PLAIN_INTERVAL_MS && fraction < 1) return;
    this.#last = now;
    stderr.write(`${this.#label} ${percent} % ${detail}\n`);
  }

  clear(): void {
    if (this.#terminal) stderr.write('\r\x1b[K');
  }

  redraw(): void {
    if (this.#terminal) stderr.write(`\r\x1b[K${this.#text}`);
  }

  end(): void {
    if (bar === this) bar = undefined;
    if (this.#terminal && this.#text !== '') stderr.write('\n');
    this.#text = '';
  }
}

/** What `onFetch` of a model takes: a bar while bytes of it arrive. */
export function fetchProgress(): (progress: { file: string; doneBytes: number; totalBytes: number }) => void {
  let shown: Progress | undefined;
  return ({ file, doneBytes, totalBytes }) => {
    shown ??= new Progress('fetch');
    shown.update(doneBytes / totalBytes, `${size(doneBytes)} of ${size(totalBytes)}  ${file}`);
    if (doneBytes < totalBytes) return;
    shown.end();
    shown = undefined;
  };
}

/** 3725 → "1:02:05", 65 → "1:05". */
export function clock(seconds: number): string {
  if (!Number.isFinite(seconds)) return '–';
  const whole = Math.max(0, Math.round(seconds));
  const two = (value: number): string => String(value).padStart(2, '0');
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return h > 0 ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

/** Bytes in the unit that a person would use. */
export function size(bytes: number): string {
  if (bytes >= 2 ** 30) return `${(bytes / 2 ** 30).toFixed(2)} GiB`;
  if (bytes >= 2 ** 20) return `${(bytes / 2 ** 20).toFixed(1)} MiB`;
  return `${(bytes / 2 ** 10).toFixed(1)} KiB`;
}
