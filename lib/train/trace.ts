// A trace in Chrome's JSON event format, which Perfetto reads: a row of the run's JavaScript above one of the compute thread, whose
// phases lie over their operations.
import type { NativeProfile } from '../native/types';

/** Something that JavaScript did; times in nanoseconds of `process.hrtime()`. */
export interface HostSpan {
  name: string;
  start: number;
  end: number;
  args?: Record<string, number>;
}

type NativeSpan = NativeProfile['spans'][number];

const PROCESS = 1;
const THREADS = { JavaScript: 1, compute: 2 } as const;

/** The file's text, an event a line, piece by piece. Times begin with the first span. */
export function* traceText(
  host: readonly HostSpan[],
  native: readonly NativeSpan[],
): Generator<string, void, void> {
  let origin = Number.POSITIVE_INFINITY;
  for (const { start } of [...host, ...native]) origin = Math.min(origin, start);
  yield '{"displayTimeUnit":"ms","traceEvents":[\n';
  yield line({ ph: 'M', pid: PROCESS, name: 'process_name', args: { name: 'mlit train' } });
  for (const [name, tid] of Object.entries(THREADS))
    yield `,\n${line({ ph: 'M', pid: PROCESS, tid, name: 'thread_name', args: { name } })}`;
  for (const span of host)
    yield `,\n${line(event(THREADS.JavaScript, 'javascript', origin, span, span.args))}`;
  for (const span of native) {
    const { weight, rows, out, in: width } = span;
    const args = {
      ...(weight !== undefined && { weight }),
      ...(rows !== undefined && { rows }),
      ...(out !== undefined && width !== undefined && { shape: `${out}×${width}` }),
    };
    yield `,\n${line(event(THREADS.compute, span.phase ? 'phase' : 'op', origin, span, args))}`;
  }
  yield '\n]}\n';
}

/** Whole nanoseconds, so that what lies within another does so in the file, too. */
function event(
  tid: number,
  cat: string,
  origin: number,
  { name, start, end }: { name: string; start: number; end: number },
  args: object | undefined,
): object {
  const ts = Math.floor(start - origin);
  const dur = Math.floor(end - origin) - ts;
  return { ph: 'X', pid: PROCESS, tid, name, cat, ts: ts / 1000, dur: dur / 1000, ...(args && { args }) };
}

function line(value: object): string {
  return JSON.stringify(value);
}
