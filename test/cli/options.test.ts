// Options from three places: flags, a YAML file under them, and an adapter or a run that has its own.
import { spawnSync } from 'node:child_process';
import { closeSync, existsSync, openSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { mlit as run } from '../support/cli';
import { fixture, root, scratch, writeRecords } from '../support/fixtures';

const folder = scratch();
const model = fixture('smol-tiny', 'model');
const data = writeRecords(join(folder, 'train.jsonl'), 12);
const mlit = (
  args: string[],
  more: { input?: string; closeStdoutAfter?: number; closeStderrAfter?: number } = {},
) => run(args, { cwd: folder, ...more });
const small = ['--model', model, '--data', data, '--threads', '1'];
const recorded = (out: string) => parse(readFileSync(join(folder, out, 'run.yaml'), 'utf8')).options;

describe('a YAML file', () => {
  it('takes flags’ names and what flags take, and is given again to resume', async () => {
    const lines = [
      `model: ${model}`,
      `data: ${data}`,
      'out: by-file',
      'learning-rate: 1e-3',
      'maxLength: 64',
      'target: q_proj,v_proj',
      'rslora: on',
      'dropout: 0',
      'dev: none',
      'shuffle: false',
      'field: response=response',
    ];
    writeFileSync(join(folder, 'run-options.yaml'), `${lines.join('\n')}\n`);
    const first = await mlit(['train', '--config', 'run-options.yaml', '--rank', '3']);
    expect(first.code, first.stderr).toBe(0);
    expect(recorded('by-file')).toMatchObject({
      learningRate: 1e-3,
      maxLength: 64,
      target: ['q_proj', 'v_proj'],
      rslora: true,
      shuffle: false,
      rank: 3,
      field: { response: 'response' },
    });
    expect(recorded('by-file')).not.toHaveProperty('dev');
    const again = await mlit(['train', '--config', 'run-options.yaml', '--resume']);
    expect(again.code, again.stderr).toBe(0);
  });

  it('is refused where a flag would be', async () => {
    const file = join(folder, 'sampling.yaml');
    const start = `model: ${model}\nprompts: ${data}\n`;
    writeFileSync(file, `${start}device: gpu\n`);
    const device = await mlit(['sample', '--config', file]);
    expect(device).toMatchObject({ code: 2, stderr: expect.stringMatching(/device.*gpu.*cuda/) });
    writeFileSync(file, `${start}device: h100-80gb\n`);
    const card = await mlit(['sample', '--config', file]);
    expect(card).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/by its name is taken by `mlit plan`/),
    });
    writeFileSync(file, `${start}max-new-tokns: 3\n`);
    const unknown = await mlit(['sample', '--config', file]);
    expect(unknown).toMatchObject({ code: 2, stderr: expect.stringContaining("'max-new-tokns'") });
  });
});

describe('an adapter', () => {
  const adapter = fixture('smol-tiny', 'adapter');

  it.each([
    ['--rank', '8'],
    ['--alpha', '9'],
    ['--rslora', 'on'],
    ['--dropout', '0.1'],
    ['--target', 'q_proj'],
  ])('to start from refuses %s %s, which its adapter_config.json contradicts', async (flag, value) => {
    const out = `contradicted${flag}`;
    const ended = await mlit(['train', ...small, '--init-adapter', adapter, flag, value, '--out', out]);
    expect(ended.code).toBe(2);
    expect(ended.stderr).toMatch(new RegExp(`${flag.slice(2)} is .*adapter_config.json says`));
    expect(existsSync(join(folder, out))).toBe(false);
  });

  it('to start from takes flags that agree, and records what is trained', async () => {
    const agreeing = ['--rank', '4', '--target', 'down_proj,q_proj,k_proj,v_proj,o_proj,gate_proj,up_proj'];
    const ended = await mlit([
      'train',
      ...small,
      '--init-adapter',
      adapter,
      ...agreeing,
      '--out',
      'from-adapter',
    ]);
    expect(ended.code, ended.stderr).toBe(0);
    expect(recorded('from-adapter')).toMatchObject({
      rank: 4,
      alpha: 8,
      rslora: false,
      target: 'all-linear',
    });
    const resumed = await mlit(['train', '--resume', '--out', 'from-adapter', '--init-adapter', adapter]);
    expect(resumed.code, resumed.stderr).toBe(0);
  });

  it('that was trained on another base only warns', async () => {
    const ended = await mlit(['score', '--model', model, '--data', data, '--adapter', adapter]);
    expect(ended.code, ended.stderr).toBe(0);
    expect(ended.stderr).toMatch(/adapter was trained on smol-tiny; here it is put on .*model/);
  });

  it('that does not fit leaves no run behind', async () => {
    const misfit = fixture('llama-tiny', 'adapter');
    const ended = await mlit(['train', ...small, '--init-adapter', misfit, '--out', 'misfit']);
    expect(ended).toMatchObject({ code: 1, stderr: expect.stringContaining('TENSOR_MISMATCH') });
    expect(readdirSync(folder)).not.toContain('misfit');
  });
});

it('a LoRA on the head is trained beside those of the layers, resumed, and used', async () => {
  const out = 'with-head';
  const trained = await mlit([
    'train',
    ...small,
    '--out',
    out,
    '--target',
    'lm_head,all-linear',
    '--dropout',
    '0.1',
  ]);
  expect(trained.code, trained.stderr).toBe(0);
  expect(recorded(out)).toMatchObject({ target: ['all-linear', 'lm_head'], dropout: 0.1 });
  const adapter = join(folder, out, 'adapter');
  const config = JSON.parse(readFileSync(join(adapter, 'adapter_config.json'), 'utf8'));
  expect(config.target_modules).toHaveLength(8);
  expect(config.lora_dropout).toBe(0.1);
  expect(config.target_modules).toContain('lm_head');
  const spelled = 'lm_head,q_proj,k_proj,v_proj,o_proj,gate_proj,up_proj,down_proj';
  const resumed = await mlit(['train', '--resume', '--out', out, '--target', spelled]);
  expect(resumed.code, resumed.stderr).toBe(0);
  const score = ['score', '--model', model, '--data', data, '--json'];
  const [base, tuned] = [await mlit(score), await mlit([...score, '--adapter', adapter])];
  expect(tuned.code, tuned.stderr).toBe(0);
  expect(tuned.stdout).not.toBe(base.stdout);
});

it('train --preview shows records that came through standard input, and trains on them', async () => {
  const args = [
    'train',
    '--model',
    model,
    '--data',
    '-',
    '--threads',
    '1',
    '--out',
    'piped',
    '--preview',
    '1',
  ];
  const ended = await mlit(args, { input: readFileSync(data, 'utf8') });
  expect(ended.code, ended.stderr).toBe(0);
  expect(ended.stdout).toMatch(/^r0 \[en\].*tokens, \d+ supervised[\s\S]*⟦/);
  expect(existsSync(join(folder, 'piped', 'adapter'))).toBe(true);
});

it("options that are missing or can't be are named", async () => {
  const { code, stderr } = await mlit(['train', '--out', 'x']);
  expect(code).toBe(2);
  expect(stderr).toMatch(/--model: is needed.*--data: is needed/);
  const target = await mlit(['train', ...small, '--out', 'x', '--target', 'q_proj,embed_tokens']);
  expect(target).toMatchObject({ code: 2, stderr: expect.stringMatching(/embed_tokens.*q_proj,k_proj/) });
});

describe('what is wrong is said by the flags that were typed', () => {
  it.each<[string[], RegExp]>([
    [['--max-length', '1'], /^mlit: --max-length: expected at least 2, got 1$/m],
    [['--patience', '3'], /^mlit: --patience is 3, which needs a dev set: give --dev$/m],
    [
      ['--method', 'full', '--rank', '4'],
      /^mlit: --rank: is of LoRA adapters, and method is full; leave it/m,
    ],
    [['--micro-tokens', '8'], /^mlit: --micro-tokens is 8, but record .*; raise it or lower --max-length$/m],
    [['--dev', '500'], /^mlit: --dev is 500, but the data has \d+ items; take fewer, or give a file$/m],
  ])('%j', async (more, said) => {
    const ended = await mlit(['train', ...small, '--out', 'never', ...more]);
    expect(ended.stderr).toMatch(said);
    expect(ended.code).toBe(2);
    expect(existsSync(join(folder, 'never'))).toBe(false);
  });

  it('also of a run that goes on, and of what another flag overrules', async () => {
    const lot = ['--steps', '1', '--epochs', '2', '--batch-tokens', '90', '--batch-examples', '3'];
    const ended = await mlit(['train', ...small, '--out', 'overruled', ...lot]);
    expect(ended.code, ended.stderr).toBe(0);
    expect(ended.stderr).toMatch(/^--steps is given, so --epochs counts for nothing$/m);
    expect(ended.stderr).toMatch(/^--batch-tokens is given, so --batch-examples counts for nothing$/m);
    const again = await mlit(['train', '--out', 'overruled', '--resume', '--learning-rate', '0.5']);
    expect(again.code).toBe(2);
    expect(again.stderr).toMatch(/resume: --learning-rate is 0.5, but the run was started with 0.0002/);
    expect(again.stderr).not.toContain('counts for nothing');
  });
});

it('samples that are all the same, and a table’s columns, are explained', async () => {
  const args = ['sample', '--model', model, '--prompts', data, '--max-new-tokens', '2', '--samples', '2'];
  expect((await mlit(args)).stderr).toMatch(
    /^--samples 2 at temperature 0: the responses .* will be the same/m,
  );
  expect((await mlit([...args, '--temperature', '0.7'])).stderr).not.toContain('will be the same');
  const { stdout } = await mlit(['score', '--model', model, '--data', data]);
  expect(stdout).toMatch(
    /^tokens: those of the answers.*nll: the sum of\ntheir negative log-likelihoods, in nats/m,
  );
});

it('what is drawn from, the seed, stop texts and the system text of `sample` are those of its flags', async () => {
  const one = join(folder, 'one.jsonl');
  writeFileSync(one, JSON.stringify({ instruction: 'Say it.' }));
  const sample = async (...flags: string[]) => {
    const args = ['--model', model, '--prompts', one, '--max-new-tokens', '8', '--threads', '1', ...flags];
    const { stdout, stderr } = await mlit(['sample', ...args]);
    expect(stdout, stderr).not.toBe('');
    return JSON.parse(stdout) as { prompt: string; response: string; finishReason: string };
  };
  const hot = ['--temperature', '9'];
  const greedy = await sample();
  const told = [...hot, '--system', 'Be brief.'];
  const [first, second] = [await sample(...told), await sample(...told, '--seed', '1')];
  expect(first.prompt).toContain('Be brief.');
  expect(second.response).not.toBe(first.response);
  for (const least of [
    ['--top-k', '1'],
    ['--top-p', '1e-6'],
    ['--min-p', '1'],
  ])
    expect((await sample(...hot, ...least)).response, least[0]).toBe(greedy.response);
  const ended = await sample('--stop', greedy.response.slice(2, 4));
  expect(ended).toMatchObject({ response: greedy.response.slice(0, 2), finishReason: 'stop' });
}, 60_000);

it('a YAML key that is none is told with the one that was meant', async () => {
  writeFileSync(join(folder, 'typo.yaml'), 'lerning-rate: 1\n');
  const { code, stderr } = await mlit(['train', ...small, '--out', 'never', '--config', 'typo.yaml']);
  expect(code).toBe(2);
  expect(stderr).toMatch(/typo.yaml: there is no option 'lerning-rate'; did you mean 'learning-rate'\?/);
});

it.each([
  ['--lr', '--learning-rate'],
  ['--per_device_train_batch_size=4', '--batch-examples'],
])('%s, as others have it, is refused with %s', async (typed, ours) => {
  const { code, stderr } = await mlit(['train', ...small, '--out', 'never', typed, '1']);
  expect(code).toBe(2);
  const flag = typed.split('=')[0];
  expect(stderr).toBe(`error: unknown option '${flag}'\n(Did you mean ${ours}?)\n`);
  expect(readdirSync(folder)).not.toContain('never');
});

it('a flag that this command lacks is not proposed', async () => {
  const { code, stderr } = await mlit(['sample', '--model', model, '--prompts', data, '--lr', '1']);
  expect(code).toBe(2);
  expect(stderr).toBe("error: unknown option '--lr'\n");
});

describe('a pipe', () => {
  const prompts = Array.from({ length: 400 }, (_, i) => JSON.stringify({ instruction: `Say ${i}` }));

  it('that its reader closes is no failure', async () => {
    const args = ['sample', '--model', model, '--prompts', '-', '--max-new-tokens', '20'];
    const ended = await mlit(args, { input: prompts.join('\n'), closeStdoutAfter: 10 });
    expect(ended.code, ended.stderr).toBe(0);
    expect(ended.stderr).not.toContain('EPIPE');
  });

  it('that cannot be written is told in a sentence', () => {
    const full = openSync('/dev/full', 'w');
    for (const args of [['doctor'], ['--help']]) {
      const ended = spawnSync(process.execPath, [join(root, 'bin', 'mlit.mjs'), ...args], {
        stdio: ['ignore', full, 'pipe'],
        encoding: 'utf8',
      });
      expect(ended.status, ended.stderr).toBe(1);
      expect(ended.stderr).toMatch(/^mlit: cannot write the results to standard output: ENOSPC.*\n$/);
    }
    closeSync(full);
  });

  it('is all there when nobody reads the progress any more', async () => {
    const args = ['train', ...small, '--out', 'unread', '--steps', '3', '--json'];
    const ended = await mlit(args, { closeStderrAfter: 10 });
    expect(ended.code, ended.stderr).toBe(0);
    expect(JSON.parse(ended.stdout)).toMatchObject({ out: 'unread' });
    expect(existsSync(join(folder, 'unread', 'adapter', 'adapter_model.safetensors'))).toBe(true);
  });

  it('gets plain lines of progress and notes', async () => {
    const { stderr } = await mlit(['score', '--model', model, '--data', data]);
    expect(stderr).toContain('records with instruction');
    expect(stderr).not.toContain('\u001b');
  });
});
