// What every set-up step needs: where the repository is, how to say things, how to run a program without ever
// showing a stack trace, and how to know that nothing has changed since the last time.
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createWriteStream, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

export const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
export const stampDir = join(root, '.setup');

/** A failure the user can act on: printed as it stands, without a stack. */
export class SetupError extends Error {}

export const say = (line) => process.stderr.write(`${line}\n`);

/** Runs a program to its end; returns its trimmed output, or undefined when it is missing or fails. */
export function capture(command, args, options = {}) {
  const result = spawnSync(command, args, { encoding: 'utf8', cwd: root, ...options });
  return result.status === 0 ? result.stdout.trim() : undefined;
}

export const hasCommand = (name) =>
  (process.env.PATH ?? '').split(':').some((folder) => folder !== '' && existsSync(join(folder, name)));

/**
 * Runs a program with its output in `.setup/<log>.log`; `onLine` sees each line. Rejects with a SetupError that
 * holds the last lines and the log's place.
 */
export function runLogged(
  command,
  args,
  { log, onLine = () => {}, env = process.env, cwd = root, tail = 30 },
) {
  mkdirSync(stampDir, { recursive: true });
  const logPath = join(stampDir, `${log}.log`);
  const file = createWriteStream(logPath);
  const last = [];
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] });
    const take = (line) => {
      file.write(`${line}\n`);
      last.push(line);
      if (last.length > tail) last.shift();
      onLine(line);
    };
    for (const stream of [child.stdout, child.stderr]) createInterface({ input: stream }).on('line', take);
    child.on('error', (error) => reject(new SetupError(`${command} could not be started: ${error.message}`)));
    child.on('close', (code, signal) => {
      file.end();
      if (code === 0) return resolve();
      const how = signal ? `was ended by ${signal}` : `failed with exit status ${code}`;
      const place = relative(root, logPath);
      reject(
        new SetupError(`${command} ${args.join(' ')} ${how}:\n\n${last.join('\n')}\n\n(all of it: ${place})`),
      );
    });
  });
}

/**
 * One hash over the contents and names of files and folders, in a fixed order; `skip` leaves paths out.
 * @param {string[]} paths
 * @param {{ skip?: (path: string) => boolean, extra?: string }} options
 */
export function hashOf(paths, { skip = () => false, extra = '' } = {}) {
  const hash = createHash('sha256').update(extra);
  const visit = (path) => {
    const full = join(root, path);
    if (!existsSync(full) || skip(path)) return;
    let entries;
    try {
      entries = readdirSync(full);
    } catch {
      hash.update(`\0${path}\0`).update(readFileSync(full));
      return;
    }
    for (const entry of entries.sort()) visit(join(path, entry));
  };
  for (const path of paths) visit(path);
  return hash.digest('hex');
}

export function readStamp(name) {
  const path = join(stampDir, name);
  return existsSync(path) ? readFileSync(path, 'utf8') : undefined;
}

export function writeStamp(name, value) {
  mkdirSync(stampDir, { recursive: true });
  writeFileSync(join(stampDir, name), value);
}

/** A progress line: redrawn in place on a terminal, a plain line at every tenth elsewhere. */
export function progressLine(label) {
  const tty = process.stderr.isTTY === true;
  let lastTenth = -1;
  return {
    update(fraction, detail = '') {
      const percent = Math.floor(fraction * 100);
      if (tty)
        process.stderr.write(`\r\x1b[K${label} ${String(percent).padStart(3)} % ${detail}`.slice(0, 100));
      else if (Math.floor(percent / 10) > lastTenth) {
        lastTenth = Math.floor(percent / 10);
        say(`${label} ${percent} %`);
      }
    },
    end() {
      if (tty) process.stderr.write('\r\x1b[K');
    },
  };
}
