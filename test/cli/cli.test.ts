// The command line as scripts meet it: exit codes, stdout that is only results, messages that name what is wrong.
import { spawn } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { fixture, root, scratch, writeRecords } from '../support/fixtures';

const folder = scratch();
const model = fixture('smol-tiny', 'model');
const data = writeRecords(join(folder, 'train.jsonl'), 24);
const run = join(folder, 'run');

interface Ended {
  code: number | null;
  stdout: string;
  stderr: string;
}

function mlit(
  args: string[],
  options: {
    input?: string;
    cwd?: string;
    onStderr?: (text: string, kill: (signal: NodeJS.Signals) => void) => void;
  } = {},
): Promise<Ended> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [join(root, 'bin', 'mlit.mjs'), ...args], {
      cwd: options.cwd ?? folder,
    });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (chunk: Buffer) => {
      stdout += chunk;
    });
    child.stderr.on('data', (chunk: Buffer) => {
      stderr += chunk;
      options.onStderr?.(stderr, (signal) => child.kill(signal));
    });
    child.stdin.end(options.input ?? '');
    child.on('close', (code) => resolve({ code, stdout, stderr }));
  });
}

const jsonLines = (text: string): Record<string, unknown>[] =>
  text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);

const trainArgs = (out: string, ...more: string[]): string[] => [
  ...['train', '--model', model, '--data', data, '--out', out, '--rank', '4', '--learning-rate', '1e-2'],
  ...['--warmup-steps', '2', '--batch-examples', '4', '--threads', '2', ...more],
];

beforeAll(async () => {
  const { code, stdout, stderr } = await mlit(
    trainArgs(run, '--epochs', '3', '--json', '--dev', '2', '--eval-every', '6'),
  );
  expect(code, stderr).toBe(0);
  expect(JSON.parse(stdout)).toMatchObject({
    reason: 'finished',
    step: 15,
    adapter: join(run, 'adapter'),
    best: { step: expect.any(Number) },
  });
});

describe('mlit', () => {
  it('train: says the plan and the progress on stderr, one line a step in events.jsonl', () => {
    const steps = jsonLines(readFileSync(join(run, 'events.jsonl'), 'utf8')).filter(
      (event) => event.type === 'step',
    );
    expect(steps).toHaveLength(15);
    expect(Object.keys(steps[0]!)).toEqual([
      'type',
      'step',
      'loss',
      'learningRate',
      'gradNorm',
      'tokens',
      'supervisedTokens',
      'seconds',
      'tokensPerSecond',
    ]);
    expect(readFileSync(join(run, 'run.yaml'), 'utf8')).toMatch(/rank: 4[\s\S]*threads: 2/);
  });

  it('plan: tells memory and time and writes nothing', async () => {
    const planned = join(folder, 'planned');
    const args = trainArgs(planned, '--json');
    args[0] = 'plan';
    const { code, stdout } = await mlit(args);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      steps: 6,
      fits: true,
      gflops: expect.any(Number),
      estimatedSeconds: expect.any(Number),
    });
    expect(existsSync(planned)).toBe(false);
  });

  it('plan --device: a card that is not there by its name, which other commands refuse', async () => {
    const plan = (...more: string[]) => mlit(['plan', '--model', model, '--data', data, ...more]);
    const json = await plan('--device', 'h100-80gb', '--json');
    expect(json.code, json.stderr).toBe(0);
    const told = JSON.parse(json.stdout);
    expect(told).toMatchObject({
      fits: true,
      device: 'h100-80gb',
      onDevice: true,
      card: { name: 'h100-80gb', contextBytes: 700 * 2 ** 20 },
      predictedSeconds: { least: expect.any(Number), most: expect.any(Number) },
    });
    expect(told).not.toHaveProperty('gflops');
    const text = await plan('--device', 'l4-24gb');
    expect(text.stdout).toContain('driver and context, assumed');
    expect(text.stdout).toContain('predicted from the data sheet, not measured');
    const unknown = await plan('--device', 'h100');
    expect(unknown).toMatchObject({ code: 2, stderr: expect.stringMatching(/cuda\[:N\], .*h100-80gb/) });
    const train = await mlit(trainArgs(join(folder, 'refused'), '--device', 'h100-80gb'));
    expect(train).toMatchObject({ code: 2, stderr: expect.stringContaining('`mlit plan` alone') });
  });

  it('plan --preview: shows records with what is supervised', async () => {
    const args = trainArgs(join(folder, 'planned'), '--preview', '2');
    args[0] = 'plan';
    const { code, stdout } = await mlit(args);
    expect(code).toBe(0);
    expect(stdout).toMatch(/r0 \[en\].*tokens, \d+ supervised/);
    expect(stdout).toContain('⟦');
  });

  it('sample: streams one JSON line a response, adapters by number', async () => {
    const prompts = join(folder, 'prompts.jsonl');
    const lines = [0, 1, 2].map((i) =>
      JSON.stringify({
        id: `p${i}`,
        lang: 'en',
        parallel_id: `i${i}`,
        instruction: `Say cat ${i}`,
        ...(i === 2 && { adapter: 1 }),
      }),
    );
    writeFileSync(prompts, `${lines.join('\n')}\n`);
    const adapters = ['--adapter', join(run, 'adapter'), fixture('smol-tiny', 'adapter')];
    const args = [
      'sample',
      '--model',
      model,
      ...adapters,
      '--prompts',
      prompts,
      '--max-new-tokens',
      '8',
      '--samples',
      '2',
      '--temperature',
      '0.8',
      '--logprobs',
      'on',
    ];
    const { code, stdout, stderr } = await mlit(args);
    expect(code, stderr).toBe(0);
    const records = jsonLines(stdout);
    expect(records).toHaveLength(6);
    for (const record of records) {
      expect(Object.keys(record)).toEqual([
        'id',
        'lang',
        'parallel_id',
        'sample',
        'adapter',
        'prompt',
        'response',
        'tokens',
        'finishReason',
        'logprobs',
      ]);
      expect(record.adapter).toBe(record.id === 'p2' ? 1 : 0);
      expect((record.logprobs as number[]).length).toBe((record.tokens as number[]).length);
    }
    const again = await mlit(args);
    const sorted = (text: string): string => text.trim().split('\n').sort().join('\n');
    expect(sorted(again.stdout)).toBe(sorted(stdout));
  });

  it('sample: reads prompts from standard input', async () => {
    const { code, stdout } = await mlit(
      ['sample', '--model', model, '--prompts', '-', '--max-new-tokens', '3'],
      {
        input: '{"instruction":"Say cat"}\n',
      },
    );
    expect(code).toBe(0);
    expect(jsonLines(stdout)[0]).toMatchObject({ id: 'stdin:1', lang: 'und', sample: 0, adapter: null });
  });

  it('score: by language and in all, and a line a record', async () => {
    const { code, stdout } = await mlit([
      'score',
      '--model',
      model,
      '--adapter',
      join(run, 'adapter'),
      '--data',
      data,
      '--json',
    ]);
    expect(code).toBe(0);
    const scores = JSON.parse(stdout) as Record<string, Record<string, number>>;
    expect(Object.keys(scores)).toEqual(['en', 'fi', 'sw', 'all']);
    const { all } = scores;
    expect(all!.records).toBe(24);
    expect(all!.nll).toBeCloseTo(scores.en!.nll! + scores.fi!.nll! + scores.sw!.nll!, 6);
    expect(all!.perplexity).toBeCloseTo(Math.exp(all!.nll! / all!.tokens!), 8);
    expect(all!.bitsPerByte).toBeCloseTo(all!.nll! / Math.LN2 / all!.bytes!, 8);

    const lines = jsonLines((await mlit(['score', '--model', model, '--data', data, '--per-token'])).stdout);
    expect(lines).toHaveLength(24);
    for (const line of lines) {
      const { tokens, logprobs, supervised } = line as {
        tokens: number[];
        logprobs: (number | null)[];
        supervised: number[];
      };
      expect(logprobs).toHaveLength(tokens.length);
      expect(supervised).toHaveLength(tokens.length);
      expect(logprobs[0]).toBeNull();
      expect(logprobs.slice(1).every((value) => typeof value === 'number' && value < 0)).toBe(true);
    }
  });

  it('score --template none: every token but the first', async () => {
    const texts = join(folder, 'texts.jsonl');
    writeFileSync(texts, '{"id":"t","lang":"en","text":"Hello world"}\n');
    const { stdout } = await mlit([
      'score',
      '--model',
      model,
      '--data',
      texts,
      '--template',
      'none',
      '--json',
    ]);
    expect(JSON.parse(stdout).en).toMatchObject({ records: 1, bytes: expect.any(Number) });
  });

  it('doctor: tells the machine and tests its arithmetic', async () => {
    const { code, stdout } = await mlit(['doctor', '--json']);
    expect(code).toBe(0);
    const report = JSON.parse(stdout);
    expect(report.passed).toBe(true);
    expect(report.selfTest.length).toBeGreaterThan(2);
    expect(report.backends.map((backend: { name: string }) => backend.name)).toContain('cpu');
    expect((await mlit(['doctor'])).stdout).toContain('self-test');
  });

  it('doctor --quality: tells what int8 costs on a model, of built-in records or of data', {
    timeout: 120_000,
  }, async () => {
    const builtIn = await mlit(['doctor', '--quality', model, '--steps', '1', '--threads', '2']);
    expect(builtIn.code, builtIn.stderr).toBe(0);
    for (const line of [/^hi +3 +\d+ +\d/m, /^1 +\d+\.\d{4} +\d/m, /^0 +0\.99\d\d$/m, /^at worst: [+−]/m])
      expect(builtIn.stdout).toMatch(line);
    expect(builtIn.stderr).toMatch(/quality +\d+ % f32: /);

    const given = ['--data', data, '--held-out', '2', '--steps', '2', '--json'];
    const json = await mlit(['doctor', '--quality', model, ...given]);
    expect(json.code, json.stderr).toBe(0);
    const report = JSON.parse(json.stdout);
    expect(report.base.map((row: { lang: string; records: number }) => [row.lang, row.records])).toEqual([
      ...[...new Set(jsonLines(readFileSync(data, 'utf8')).map(({ lang }) => lang))]
        .sort()
        .map((lang) => [lang, 2]),
      ['all', 6],
    ]);
    expect(report.losses.int8).toHaveLength(2);
  });

  it.each([
    [['--quality', 'nothing-there'], 1, /no file or folder 'nothing-there'/],
    [['--quality', model, '--data', 'unanswered.jsonl'], 1, /unanswered\.jsonl:1.*response/s],
    [['--quality', model, '--device', 'cuda'], 2, /compute is int8.*the device is cuda/],
    [['--quality', model, '--steps', '0'], 2, /--steps/],
    [['--steps', '3'], 2, /--steps is given without --quality MODEL/],
  ])('doctor %j is refused', async (args, code, message) => {
    writeFileSync(join(folder, 'unanswered.jsonl'), '{"instruction": "Why?", "lang": "en"}\n');
    const ended = await mlit(['doctor', ...args]);
    expect(ended.stderr).toMatch(message);
    expect(ended.code).toBe(code);
  });

  it('works from any folder and takes a YAML file under the flags', async () => {
    const config = join(folder, 'config.yaml');
    writeFileSync(
      config,
      `model: ${model}\ndata: [${data}]\nrank: 2\nbatchExamples: 8\nlearningRate: 1e-3\n`,
    );
    const configured = join(folder, 'configured');
    const { code, stderr } = await mlit(['train', '--config', config, '--rank', '3', '--out', configured], {
      cwd: tmpdir(),
    });
    expect(code, stderr).toBe(0);
    expect(readFileSync(join(configured, 'run.yaml'), 'utf8')).toMatch(/rank: 3[\s\S]*batchExamples: 8/);
  });
});

describe('failing', () => {
  it.each([
    [['train', '--modle', model], 2, /unknown option '--modle'[\s\S]*--model/],
    [['trian'], 2, /unknown command 'trian'[\s\S]*train/],
    [['train', '--model', model, '--data', data], 2, /--out/],
    [
      ['train', '--model', model, '--data', data, '--out', 'x', '--rank', 'four'],
      2,
      /--rank.*four.*whole number|four.*number/s,
    ],
    [['train', '--model', model, '--data', data, '--out', 'x', '--rank', '0'], 2, /rank/],
    [['train', '--model', model, '--data', data, '--out', 'x', '--device', 'gpu'], 2, /cuda\[:N\]/],
    [['train', '--model', model, '--data', data, '--out', 'x', '--dropout', '1.5'], 2, /dropout/i],
    [['sample', '--prompts', '-'], 2, /model/],
    [['score', '--model', 'nothing.gguf', '--data', data], 1, /nothing\.gguf/],
    [['score', '--model', model, '--data', 'none.jsonl'], 1, /none\.jsonl[\s\S]*FILE_NOT_FOUND/],
    [['score', '--model', model, '--data', data, '--template', 'chatmm'], 1, /chatmm.*expected/],
    [['pull', 'no-such'], 1, /no-such[\s\S]*gemma-3-270m/],
    [['train', '--resume', '--out', 'nothing-here'], 1, /nothing-here/],
  ])('mlit %j → %i', async (args, code, message) => {
    const ended = await mlit(args as string[]);
    expect(ended.stderr).toMatch(message as RegExp);
    expect(ended.code).toBe(code);
    expect(ended.stdout).toBe('');
  });

  it('refuses unknown keys of a YAML file and one that is no mapping', async () => {
    const config = join(folder, 'bad.yaml');
    writeFileSync(config, `model: ${model}\ndata: [${data}]\nlearninRate: 1\n`);
    const unknown = await mlit(['train', '--config', config, '--out', 'y']);
    expect(unknown.code).toBe(2);
    expect(unknown.stderr).toContain('learninRate');
    writeFileSync(config, '- a\n');
    expect((await mlit(['train', '--config', config, '--out', 'y'])).code).toBe(1);
  });

  it('names truncated model files and tensors that do not fit', async () => {
    const cut = join(folder, 'cut.gguf');
    const whole = readFileSync(fixture('smol-tiny', 'model.gguf'));
    writeFileSync(cut, whole.subarray(0, whole.length - 1000));
    const damaged = await mlit(['score', '--model', cut, '--data', data]);
    expect(damaged.code).toBe(1);
    expect(damaged.stderr).toMatch(/cut\.gguf[\s\S]*FILE_DAMAGED/);
    const misfit = await mlit([
      'score',
      '--model',
      model,
      '--adapter',
      fixture('gemma3-tiny', 'adapter'),
      '--data',
      data,
    ]);
    expect(misfit.code).toBe(1);
    expect(misfit.stderr).toMatch(/TENSOR_M/);
  });

  it('refuses to resume with an option that contradicts the run', async () => {
    const { code, stderr } = await mlit(['train', '--resume', '--out', run, '--rank', '8']);
    expect(code).toBe(2);
    expect(stderr).toMatch(/rank is 8.*started with 4/);
  });
});

describe('signals', () => {
  const long = (out: string): string[] => trainArgs(out, '--epochs', '400', '--save-every', '1000');

  it.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('%s while training saves, ends with %i, and the run goes on', async (signal, code) => {
    const out = join(folder, `signal-${signal}`);
    let sent = false;
    const ended = await mlit(long(out), {
      onStderr: (text, kill) => {
        if (sent || !text.includes('step 1/')) return;
        sent = true;
        kill(signal);
      },
    });
    expect(ended.code, ended.stderr).toBe(code);
    expect(ended.stderr).toContain('go on with --resume');
    const events = jsonLines(readFileSync(join(out, 'events.jsonl'), 'utf8'));
    expect(events.at(-1)).toMatchObject({ type: 'end', reason: 'stopped' });
    expect(events.at(-2)).toMatchObject({ type: 'checkpoint' });
  });

  it('SIGINT while sampling ends with 130', async () => {
    const input = `${Array.from({ length: 40 }, (_, i) => JSON.stringify({ id: `p${i}`, instruction: 'Say' })).join('\n')}\n`;
    const many = ['--max-new-tokens', '100', '--samples', '200', '--temperature', '1.5'];
    let sent = false;
    const ended = await mlit(['sample', '--model', model, '--prompts', '-', ...many], {
      input,
      onStderr: (text, kill) => {
        if (sent || !text.includes('responses')) return;
        sent = true;
        kill('SIGINT');
      },
    });
    expect(ended.code, ended.stderr).toBe(130);
    const lines = jsonLines(ended.stdout);
    expect(lines.length).toBeGreaterThan(0);
    expect(lines.length).toBeLessThan(8000);
  });
});
