// One road through the installed package, for a Node that is not the one of the tests: import and require, the self-test, a
// training run, sampling, workers. Arguments: a model's folder, a folder to write to.
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { Adapter, Model, Sampler, Trainer, version } from 'mlit-native';

const [model, out] = process.argv.slice(2);
const required = createRequire(import.meta.url)('mlit-native');
if (required.version !== version) throw new Error('import and require differ');

const bin = join(import.meta.dirname, 'node_modules', 'mlit-native', 'bin', 'mlit.mjs');
const doctor = spawnSync(process.execPath, [bin, 'doctor', '--json'], { encoding: 'utf8' });
if (!JSON.parse(doctor.stdout).passed) throw new Error(`doctor: ${doctor.stdout}`);

const data = `${out}.jsonl`;
const records = ['yes', 'no'].map((response, i) => JSON.stringify({ instruction: `${i}?`, response }));
writeFileSync(data, `${records.join('\n')}\n`);
const base = await Model.load({ model, threads: 2 });
const trainer = await Trainer.create({ base, model, data: [data], template: 'chatml', steps: 3, out });
const { adapter } = await trainer.start().done;
const sampler = await Sampler.create({ model: base, adapters: [await Adapter.load(base, adapter)] });
const request = { id: 'a', prompt: Int32Array.of(3, 4, 5, 6), maxNewTokens: 4, endOfTurnIds: [] };
let tokens = [];
for await (const event of sampler.stream([request])) if (event.type === 'result') tokens = event.tokens;
if (tokens.length === 0) throw new Error('nothing was sampled');
await base.dispose();

const code = `
  require('node:module').createRequire(${JSON.stringify(import.meta.url)})('mlit-native').Model.load({ model: require('node:worker_threads').workerData, threads: 1 }).then((model) => model.dispose());
`;
const codes = await Promise.all(
  Array.from({ length: 4 }, () => {
    const worker = new Worker(code, { eval: true, workerData: model });
    return new Promise((resolve, reject) => worker.once('error', reject).once('exit', resolve));
  }),
);
if (codes.some((each) => each !== 0)) throw new Error(`workers ended with ${codes}`);
console.log(`${process.version}: doctor passed, trained, sampled ${tokens.join(' ')}, 4 workers`);
