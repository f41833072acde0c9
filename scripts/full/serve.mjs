// 64 clients for two minutes against `mlit serve` in a process of its own: every answer right, none lost, memory flat, and an end
// in order while requests run.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { load } from '../serve-load/load.mjs';
import { root, say } from '../setup/common.mjs';

const CLIENTS = 64;
const SECONDS = 120;
/** Of the server's resident memory, from when it is warm to the end. */
const GROWTH_MIB = 16;

const fixture = (name) => join(root, 'test', 'fixtures', 'smol-tiny', name);
const flags = [
  '--adapter',
  `first=${fixture('adapter')}`,
  '--adapter',
  `second=${fixture('adapter-rslora')}`,
];
// A heap that may not grow: garbage that V8 has had no reason to collect would look like a leak.
const heap = ['--max-old-space-size=64', '--max-semi-space-size=4'];
const server = spawn(
  process.execPath,
  [
    ...heap,
    join(root, 'bin', 'mlit.mjs'),
    'serve',
    '--model',
    fixture('model'),
    ...flags,
    '--port',
    '0',
    '--json',
  ],
  { stdio: ['ignore', 'pipe', 'inherit'] },
);
process.on('exit', () => server.kill('SIGKILL'));
const [line] = await once(createInterface({ input: server.stdout }), 'line');
const { url, models } = JSON.parse(line);

const metric = (text, name) => Number(new RegExp(`^${name}(?:\\{.*\\})? (\\S+)$`, 'm').exec(text)?.[1]);
const metrics = async () => (await fetch(`${url}/metrics`)).text();
const memory = async () => metric(await metrics(), 'process_resident_memory_bytes') / 2 ** 20;

await load({ url, models, clients: CLIENTS, seconds: SECONDS / 4 }); // allocators and compiled code
const warm = await memory();
const { requests, wrong, errors } = await load({ url, models, clients: CLIENTS, seconds: SECONDS });
const grown = (await memory()) - warm;

const last = load({ url, models, clients: CLIENTS, seconds: 3 });
await new Promise((resolve) => setTimeout(resolve, 2000));
server.kill('SIGTERM');
const ending = once(server, 'exit');
const { errors: refused } = await last;
const [code] = await ending;
// Those that came after the end began are refused; what ran was answered, or the server's exit would tell.
const text = `${requests} requests in ${SECONDS} s by ${CLIENTS} clients, ${wrong} wrong, ${errors.length} failed; memory ${warm.toFixed(0)} MiB when warm, ${grown.toFixed(1)} MiB more at the end; ended with ${code}, ${refused.length} refused`;
say(text);
for (const error of errors.slice(0, 5)) say(error);
process.exit(
  wrong === 0 && errors.length === 0 && requests > CLIENTS && grown < GROWTH_MIB && code === 0 ? 0 : 1,
);
