// The CUDA plug-in from the addon's side, without a card: a copy of the addon stands beside a double of the plug-in, or beside the real
// entry points over doubles of NVIDIA's two libraries. Every reason why there is no card has to reach whoever asked for one.
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { shipPlugin } from '../../scripts/prebuild/plugin.mjs';
import { fixture, root, scratch, writeRecords } from '../support/fixtures';

const folder = scratch();
const model = fixture('smol-tiny', 'model');
const data = writeRecords(join(folder, 'train.jsonl'), 12);
const doubles = join(root, 'build', 'doubles');
const libraries = join(folder, 'lib');

interface Backend {
  name: string;
  usable: boolean;
  reason: string;
  description: string;
  devices?: Backend[];
}

/** The environment of a package whose addon has this plug-in beside it, or none. */
function beside(plugin: string | undefined, more: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
  const home = join(folder, plugin === undefined ? 'bare' : plugin.replaceAll('/', '-'));
  const release = join(home, 'build', 'Release');
  mkdirSync(release, { recursive: true });
  copyFileSync(join(root, 'build', 'Release', 'mlit.node'), join(release, 'mlit.node'));
  if (plugin !== undefined) copyFileSync(plugin, join(release, 'mlit_cuda.so'));
  const { CUDA_VISIBLE_DEVICES: _, VIRTUAL_ENV: __, CONDA_PREFIX: ___, ...env } = process.env;
  return { ...env, MLIT_CACHE: join(folder, 'cache'), MLIT_NATIVE_PREBUILD: home, ...more };
}

function mlit(args: string[], env: NodeJS.ProcessEnv) {
  const program = [join(root, 'bin', 'mlit.mjs'), ...args];
  const { status, stdout, stderr } = spawnSync(process.execPath, program, {
    cwd: folder,
    env,
    encoding: 'utf8',
    input: '',
  });
  return { code: status, stdout, stderr };
}

/** What `mlit doctor --json` says of cuda, without its self-test: the addon's own answer. */
function cuda(env: NodeJS.ProcessEnv): Backend {
  const script = `const addon = require(process.argv[1]); console.log(JSON.stringify(addon.doctor().backends[1]))`;
  const addon = join(env.MLIT_NATIVE_PREBUILD!, 'build', 'Release', 'mlit.node');
  const ended = spawnSync(process.execPath, ['-e', script, addon], { env, encoding: 'utf8' });
  expect(ended.stderr).toBe('');
  return JSON.parse(ended.stdout);
}

const double = (told: string) =>
  beside(join(doubles, 'mlit_double_plugin.so'), { MLIT_DOUBLE: told, MLIT_DOUBLE_DRIVER: '' });

/** The real entry points over a driver that answers as told; `cublas`: releases that are there. */
function driven(driver: string | undefined, more: NodeJS.ProcessEnv = {}, cublas: number[] = [13]) {
  const place = join(folder, `lib-${cublas.join('-')}-${driver !== undefined}`);
  mkdirSync(place, { recursive: true });
  if (driver !== undefined) copyFileSync(join(doubles, 'mlit_double_driver.so'), join(place, 'libcuda.so.1'));
  for (const release of cublas)
    copyFileSync(join(doubles, 'mlit_double_cublaslt.so'), join(place, `libcublasLt.so.${release}`));
  return beside(join(doubles, 'mlit_double_cuda.so'), {
    LD_LIBRARY_PATH: place,
    MLIT_DOUBLE_DRIVER: driver,
    ...more,
  });
}

beforeAll(() => {
  const args = ['--build', join(root, 'build'), '--target', 'mlit_doubles', '--parallel', '2'];
  const built = spawnSync('cmake', args, { encoding: 'utf8' });
  expect(built.status, built.stdout + built.stderr).toBe(0);
  mkdirSync(libraries, { recursive: true });
}, 300_000);

describe('a plug-in that can’t be used', () => {
  const damaged = join(folder, 'damaged.so');
  writeFileSync(damaged, 'no library');

  it.each([
    ['that is not there', () => beside(undefined), /no CUDA backend.*there is no .*mlit_cuda\.so/],
    ['that is no library', () => beside(damaged), /could not be opened/],
    [
      'without entry points',
      () => beside(join(doubles, 'mlit_double_driver.so')),
      /is no plug-in of mlit-native/,
    ],
    ['without a table', () => double('no-table'), /is no plug-in of mlit-native/],
    ['of another version', () => double('other-version'), /of version 3.*takes version 2.*one build/],
    ['of another build', () => double('other-interface'), /interface 0\.0\.9 0123456789ab.*one build/],
    ['that finds no card of use', () => double('useless'), /^card 0 is not for us$/],
  ])('%s is a reason', (_what, env, reason) => {
    expect(cuda(env())).toMatchObject({ usable: false, description: '', devices: [] });
    expect(cuda(env()).reason).toMatch(reason);
  });
});

describe('NVIDIA’s libraries', () => {
  it.each<[string, () => NodeJS.ProcessEnv, RegExp]>([
    ['no driver', () => driven(undefined), /no NVIDIA driver: libcuda\.so\.1.*driver 580 or later/],
    [
      'an old driver',
      () => driven('12020 0 9.0.0'),
      /too old: it runs CUDA 12\.2.*CUDA 13; driver 580 or later/,
    ],
    ['no card', () => driven('13000 100'), /shows no device$/],
    ['a driver that shows nothing', () => driven('13000 0'), /shows no device$/],
    [
      'hidden cards',
      () => driven('13000 0 9.0.0', { CUDA_VISIBLE_DEVICES: '' }),
      /shows no device \(CUDA_VISIBLE_DEVICES is ''\)/,
    ],
    [
      'a driver out of step',
      () => driven('13000 803'),
      /does not start: CUDA_ERROR_SYSTEM_DRIVER_MISMATCH \(803\)/,
    ],
    ['a card too old', () => driven('13000 0 7.5.0'), /Card 0 has compute capability 7\.5; 8\.0 or later/],
    [
      'a card not compiled for',
      () => driven('13000 0 10.0.0'),
      /10\.0, which this build was not compiled for \(80,90a\)/,
    ],
    ['a card that nobody may use', () => driven('13000 0 9.0.2'), /compute mode 'prohibited'/],
    [
      'no cuBLASLt',
      () => driven('13000 0 9.0.0', {}, []),
      /libcublasLt\.so\.13 and libcublasLt\.so\.12 were not found/,
    ],
  ])('%s is a reason', (_what, env, reason) => {
    const { usable, reason: said } = cuda(env());
    expect(said).toMatch(reason);
    expect(usable).toBe(false);
  });

  it('in order make a card usable, each of several judged by itself', () => {
    const report = cuda(driven('13010 0 9.0.0 7.5.0', {}, [12]));
    expect(report).toMatchObject({ usable: true, reason: '' });
    expect(report.description).toBe('Card 0, 80.0 GiB, compute capability 9.0, driver of CUDA 13.1');
    expect(report.devices?.map(({ name, usable }) => [name, usable])).toEqual([
      ['cuda:0', true],
      ['cuda:1', false],
    ]);
  });

  it('are found in an active environment of Python, where wheels put cuBLASLt', () => {
    const place = join(folder, 'venv', 'lib', 'python3.11', 'site-packages', 'nvidia', 'cu13', 'lib');
    mkdirSync(place, { recursive: true });
    copyFileSync(join(doubles, 'mlit_double_cublaslt.so'), join(place, 'libcublasLt.so.13'));
    expect(cuda(driven('13000 0 9.0.0', { VIRTUAL_ENV: join(folder, 'venv') }, [])).usable).toBe(true);
  });
});

describe('a package', () => {
  it('has the plug-in beside the addon where one was built, and none of an earlier build where not', async () => {
    const release = join(folder, 'release');
    const prebuilds = join(folder, 'prebuilds');
    for (const each of [release, prebuilds]) mkdirSync(each);
    copyFileSync(join(doubles, 'mlit_double_plugin.so'), join(release, 'mlit_cuda.so'));
    const shipped = join(prebuilds, 'mlit_cuda.so');
    expect(await shipPlugin(release, prebuilds)).toBe(shipped);
    expect(cuda(beside(shipped, { MLIT_DOUBLE: '' })).description).toBe('double of card 0');
    rmSync(join(release, 'mlit_cuda.so'));
    expect(await shipPlugin(release, prebuilds)).toBeUndefined();
    expect(existsSync(shipped)).toBe(false);
  });
});

describe('--device', () => {
  const train = ['train', '--model', model, '--data', data, '--steps', '2', '--threads', '1'];
  const adapterOf = (run: string) => readFileSync(join(folder, run, 'adapter', 'adapter_model.safetensors'));
  const deviceOf = (run: string) => parse(readFileSync(join(folder, run, 'run.yaml'), 'utf8')).chosen.device;
  const experiment = join(folder, 'experiment.yaml');
  writeFileSync(experiment, `protocol: pinch\nmodel: ${model}\ndata: ${data}\neval: ${data}\ndevice: cuda\n`);

  it.each([
    ['train', [...train, '--out', 'refused', '--device', 'cuda']],
    ['plan', ['plan', ...train.slice(1), '--device', 'cuda:0']],
    ['sample', ['sample', '--model', model, '--prompts', data, '--device', 'cuda']],
    ['score', ['score', '--model', model, '--data', data, '--device', 'cuda']],
    ['experiment', ['experiment', 'run', experiment]],
  ])('cuda is refused with the reason by %s', (_what, args) => {
    const ended = mlit(args, driven('12020 0 9.0.0'));
    expect(ended.stderr).toMatch(/cuda:0 can't be used: .*is too old: it runs CUDA 12\.2/);
    expect(ended.stderr).toContain('DEVICE_UNAVAILABLE');
    expect(ended.code).toBe(1);
    expect(ended.stdout).toBe('');
  });

  it('cuda:N is refused where there is no card N, and another word is a usage error', () => {
    const far = mlit([...train, '--out', 'refused', '--device', 'cuda:3'], driven('13000 0 9.0.0'));
    expect(far.stderr).toMatch(
      /cuda:3 can't be used: there is no device 3: the driver shows 1, numbered from 0/,
    );
    expect(far.code).toBe(1);
    const odd = mlit([...train, '--out', 'refused', '--device', 'gpu'], beside(undefined));
    expect(odd).toMatchObject({ code: 2, stderr: expect.stringContaining('auto, cpu, cuda[:N]') });
  });

  it('auto is the processor where no card can be used', () => {
    const ended = mlit([...train, '--out', 'by-processor'], driven('12020 0 9.0.0'));
    expect(ended.code, ended.stderr).toBe(0);
    expect(deviceOf('by-processor')).toBe('cpu');
  });

  it('auto is a usable card: a run goes through the plug-in, says so, and is resumed there only', () => {
    const ended = mlit([...train, '--out', 'by-card'], driven('13000 0 9.0.0'));
    expect(ended.code, ended.stderr).toBe(0);
    expect(deviceOf('by-card')).toBe('cuda:0');
    expect(adapterOf('by-card').equals(adapterOf('by-processor'))).toBe(true); // the double computes on the processor
    const resumed = mlit(['train', '--resume', '--out', 'by-card'], driven('12020 0 9.0.0'));
    expect(resumed.stderr).toMatch(/cuda:0 can't be used/);
    expect(resumed.code).toBe(1);
  });

  it('cpu leaves a usable card alone', () => {
    const ended = mlit([...train, '--out', 'on-processor', '--device', 'cpu'], double(''));
    expect(ended.code, ended.stderr).toBe(0);
    expect(deviceOf('on-processor')).toBe('cpu');
  });

  it('passes on what a backend throws on the other side, with its code', () => {
    const ended = mlit(
      ['score', '--model', model, '--data', data, '--device', 'cuda'],
      double('create-fails'),
    );
    expect(ended).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/3 bytes left[\s\S]*OUT_OF_MEMORY/),
    });
  });

  it('refuses a run that the card has no room for, with the ways out, before anything is written or read', () => {
    const asked = [...train, '--out', 'too-large', '--device', 'cuda', '--base-dtype', 'f32'];
    const ended = mlit([...asked, '--recompute', 'none'], double('mib=1'));
    expect(ended.code).toBe(1);
    expect(ended.stderr).toMatch(/needs .* GiB of cuda:0's own memory \(backend .*base .*free there/);
    expect(ended.stderr).toMatch(
      /--recompute layer needs .*--base-dtype bf16 needs .*--base-dtype nf4 needs/,
    );
    expect(ended.stderr).toMatch(/--recompute layer --base-dtype nf4.* needs .*OUT_OF_MEMORY/s);
    expect(existsSync(join(folder, 'too-large'))).toBe(false);
    const plan = mlit(['plan', ...asked.slice(1), '--recompute', 'none'], double('mib=1'));
    expect(plan.code, plan.stderr).toBe(0);
    expect(plan.stdout).toMatch(/this does not fit\n--recompute activations takes .*--base-dtype nf4 takes/s);
  });

  it('refuses weights that the card has no room for, with what would fit', () => {
    const ended = mlit(['score', '--model', model, '--data', data, '--device', 'cuda'], double('mib=0'));
    expect(ended.stderr).toMatch(/the weights of .* take \d+ MiB as f32, and 0 MiB of .*as nf4 they take/);
    expect(ended.stderr).toContain('OUT_OF_MEMORY');
    expect(ended.code).toBe(1);
  });

  it('doctor tests every usable backend, and lists every card', () => {
    const ended = mlit(['doctor'], driven('13000 0 9.0.0 7.5.0'));
    expect(ended.code, ended.stderr).toBe(0);
    expect(ended.stdout).toMatch(/✓ cuda:0 +Card 0, 80\.0 GiB/);
    expect(ended.stdout).toMatch(/– cuda:1 +Card 1 has compute capability 7\.5/);
    expect(ended.stdout).toMatch(/✓ cpu +\S/);
    expect(ended.stdout.match(/✓ cuda +\S/g)?.length).toBeGreaterThanOrEqual(6);
  });
});
