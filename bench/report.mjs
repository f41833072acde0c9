// What people and programs read at the end: a plain table, and the same with everything beneath it as JSON.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { dirname } from 'node:path';
import { capture } from '../scripts/setup/common.mjs';

export const say = (text) => process.stderr.write(`${text}\n`);

export function median(values) {
  const sorted = values.filter((value) => Number.isFinite(value)).sort((a, b) => a - b);
  if (sorted.length === 0) return undefined;
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

export const gigabytes = (bytes) => (bytes === undefined ? '–' : (bytes / 1e9).toFixed(2));
export const times = (ratio) => (ratio === undefined ? '–' : `${ratio.toFixed(2)}×`);
export const rate = (value) => (value === undefined ? '–' : value.toFixed(value < 100 ? 1 : 0));
export const percent = (value) => (value === undefined ? '–' : `${(100 * value).toFixed(0)} %`);

/** Columns as wide as their widest cell, all but the first aligned to the right. */
export function table(head, rows) {
  const widths = head.map((cell, column) =>
    Math.max(cell.length, ...rows.map((row) => String(row[column]).length)),
  );
  const line = (cells) =>
    cells
      .map((cell, column) =>
        column === 0 ? String(cell).padEnd(widths[0]) : String(cell).padStart(widths[column]),
      )
      .join('  ')
      .trimEnd();
  return [line(head), widths.map((width) => '-'.repeat(width)).join('  '), ...rows.map(line)].join('\n');
}

const systemName = () =>
  existsSync('/etc/os-release')
    ? (/^PRETTY_NAME="?([^"\n]*)/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1] ?? 'unknown')
    : 'unknown';

/** The machine by what matters for speed; no names of hosts, users or folders. */
export function describeMachine() {
  const flags = /^flags\s*:\s*(.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1]?.split(' ') ?? [];
  const wanted = ['avx2', 'fma', 'avx512f', 'avx512_vnni', 'avx512_bf16', 'amx_bf16', 'amx_int8'];
  return {
    processor: cpus()[0]?.model.trim() ?? 'unknown',
    cores: cpus().length,
    features: wanted.filter((name) => flags.includes(name)),
    memoryBytes: totalmem(),
    system: `${systemName()}, Linux ${release().split('-')[0]}`,
    compiler: `g++ ${capture('g++', ['-dumpfullversion']) ?? 'unknown'}`,
    node: process.version,
    architecture: process.arch,
    revision: capture('git', ['rev-parse', '--short', 'HEAD']) ?? 'unknown',
  };
}

export function writeJson(path, value) {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, `${JSON.stringify(value, null, 1)}\n`);
  say(`Written: ${path}`);
}
