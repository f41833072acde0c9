// What the README and docs/ show is tried: every command and program in them is run, in the order of its page, on tiny fixtures
// in a folder of its own; files and folders that they name are there. The convention is in CONTRIBUTING.md.
import { spawn } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import ts from 'typescript';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { ERROR_CODES } from '../../lib/native/errors';
import { blocksOf, type DocBlock, treatmentOf } from '../support/doc-blocks';
import { type FakeEndpoint, startEndpoint } from '../support/fake-endpoint';
import { fixture, root, scratch } from '../support/fixtures';
import { type FakeHub, startHub } from '../support/hub';

const docs = readdirSync(join(root, 'docs')).filter((name) => name.endsWith('.md'));
const PAGES = ['README.md', 'CONTRIBUTING.md', 'bench/README.md', ...docs.map((name) => `docs/${name}`)];

/** The one table of what stands for what: a tiny model for the real one, and sizes that a test has time for. */
const STAND_INS: (readonly [RegExp, string])[] = [
  [/\bgemma-3-270m\b/g, 'hf:owner/name'],
  [/\bexamples: 480\b/g, 'examples: 24'],
  [/^ticks: .*$/gm, "ticks: [0, 'count:4']"],
  [/^against: hub$/gm, 'against: hub\nevalItems: 1\nsample: {maxNewTokens: 4}'],
  [/--seeds 2\b/g, '--seeds 1'],
  [/\bseeds: 3\b/g, 'seeds: 2'],
  [/\bn=480\b/g, 'n=24'],
  [/\bcount([:=])40\b/g, 'count$14'],
  [/--dev 50\b/g, '--dev 12'],
  [/--max-new-tokens \d+/g, '--max-new-tokens 4'],
  [/\bmaxNewTokens: \d+/g, 'maxNewTokens: 4'],
];
const WORDS: Record<string, [string, string]> = {
  en: ['Say the number', 'the number'],
  ar: ['قل العدد', 'العدد'],
  fi: ['Sano luku', 'luku'],
  it: ['Di’ il numero', 'il numero'],
  ru: ['Назови число', 'число'],
  sw: ['Sema nambari', 'nambari'],
};

const folder = scratch();
let hub: FakeHub;
let endpoint: FakeEndpoint;

beforeAll(async () => {
  hub = await startHub(join(folder, 'home'));
  const names = readdirSync(fixture('gemma3-tiny', 'model'));
  const files = names.map((name) => [name, readFileSync(fixture('gemma3-tiny', 'model', name))]);
  hub.add('models/owner/name', Object.fromEntries(files));
  hub.add('models/owner/gguf', { 'FILE.gguf': readFileSync(fixture('gemma3-tiny', 'model.gguf')) });
  const facets = '{"language":2,"fluency":2,"helpfulness":1,"accuracy":1,"coherence":2,"harmlessness":2}';
  endpoint = await startEndpoint(({ prompt }) => ({
    text: prompt.includes('Rate six facets')
      ? facets
      : prompt.includes('Rating: 4')
        ? 'Rating: 4'
        : 'Verdict: A',
  }));
  STAND_INS.push([/https:\/\/api\.openai\.com\/v1/g, endpoint.url]);
  const bin = join(folder, 'bin');
  mkdirSync(bin);
  writeFileSync(
    join(bin, 'mlit'),
    `#!/bin/sh\nexec "${process.execPath}" "${join(root, 'bin', 'mlit.mjs')}" "$@"\n`,
  );
  chmodSync(join(bin, 'mlit'), 0o755);
  vi.stubEnv('MLIT_CACHE', join(folder, 'cache'));
  vi.stubEnv('PATH', `${bin}:${dirname(process.execPath)}:${process.env.PATH}`);
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await hub.stop();
  await endpoint.stop();
});

/** What every page may rely on: the data that the README's commands name. */
function prepare(page: string): string {
  const place = join(folder, page.replaceAll('/', '-'));
  mkdirSync(join(place, 'node_modules'), { recursive: true });
  symlinkSync(root, join(place, 'node_modules', 'mlit-native'));
  const jsonl = (values: readonly unknown[]) => values.map((value) => `${JSON.stringify(value)}\n`).join('');
  const items = (from: number, to: number) =>
    Array.from({ length: to - from }, (_, i) => from + i).flatMap((i) =>
      Object.entries(WORDS).map(([lang, [ask, answer]]) => ({
        id: `i${i}.${lang}`,
        lang,
        parallel_id: `i${i}`,
        instruction: `${ask} ${i}`,
        response: `${answer} ${i}`,
      })),
    );
  writeFileSync(join(place, 'train.jsonl'), jsonl(items(0, 40)));
  for (const name of ['eval', 'test']) writeFileSync(join(place, `${name}.jsonl`), jsonl(items(90, 92)));
  writeFileSync(
    join(place, 'prompts.jsonl'),
    jsonl(items(90, 91).map(({ id, lang, instruction }) => ({ id, lang, instruction }))),
  );
  for (const [lang] of Object.entries(WORDS))
    writeFileSync(
      join(place, `translations.${lang}.jsonl`),
      jsonl(
        items(0, 40)
          .filter((item) => item.lang === lang)
          .map(({ parallel_id: id, instruction, response }) => ({ id, instruction, response })),
      ),
    );
  writeFileSync(
    join(place, 'lima-train.jsonl'),
    jsonl([{ conversations: ['How?', 'So.'], source: 'wikihow' }]),
  );
  const reply = { message_id: 'r', parent_id: 'p', role: 'assistant', text: 'So.', lang: 'en', rank: 0 };
  const prompt = { message_id: 'p', role: 'prompter', text: 'How?', lang: 'en', replies: [reply] };
  const tree = { message_tree_id: 'p', tree_state: 'ready_for_export', prompt };
  writeFileSync(join(place, 'trees.jsonl.gz'), gzipSync(jsonl([tree])));
  const farm = (dataset: string) => ({
    instruction: `${dataset}?`,
    input: '',
    output: 'x',
    generator: 'g',
    dataset,
  });
  writeFileSync(join(place, 'alpaca_eval.json'), JSON.stringify([farm('koala'), farm('oasst')]));
  return place;
}

function run(
  command: string,
  args: readonly string[],
  cwd: string,
): Promise<{ code: number | null; said: string }> {
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd });
    let said = '';
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk: Buffer) => {
        said += chunk;
      });
    child.stdin.end();
    child.on('close', (code) => resolve({ code, said }));
  });
}

const bash = (commands: string, cwd: string) => run('bash', ['-euo', 'pipefail', '-c', commands], cwd);
const standIn = (code: string): string =>
  STAND_INS.reduce((text, [pattern, instead]) => text.replace(pattern, instead), code);

/** One block as a process. */
async function runBlock(
  { language, code, line }: DocBlock,
  place: string,
): Promise<{ code: number | null; said: string }> {
  if (language === 'bash') return bash(code, place);
  if (language === 'sql') {
    const questions = code
      .replace(/^--.*$/gm, '')
      .split(';')
      .map((part) => part.trim());
    for (const question of questions.filter((part) => part !== '')) {
      const ended = await run('mlit', ['experiment', 'query', 'runs', question], place);
      if (ended.code !== 0) return ended;
    }
    return { code: 0, said: '' };
  }
  const program = join(place, `line-${line}.mjs`);
  // `await using` is not yet in the oldest Node that is supported.
  const compilerOptions = { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext };
  writeFileSync(program, ts.transpileModule(code, { compilerOptions }).outputText);
  return run(process.execPath, [program], place);
}

describe.each(PAGES)('%s', (page) => {
  const blocks = blocksOf(join(root, page));
  const isBusy = blocks.some((block) => treatmentOf(block) === 'run');

  it.runIf(isBusy)(
    'runs as it says',
    async () => {
      const place = prepare(page);
      for (const block of blocks) {
        const where = `${page}:${block.line}`;
        const treatment = treatmentOf(block);
        if (block.first !== undefined) {
          const { code, said } = await bash(standIn(block.first), place);
          expect(code, `${where}, what is run first: ${said}`).toBe(0);
        }
        if (treatment === 'write') writeFileSync(join(place, block.file!), `${standIn(block.code)}\n`);
        if (treatment !== 'run') continue;
        const { code, said } = await runBlock({ ...block, code: standIn(block.code) }, place);
        expect(code, `${where}: ${said}`).toBe(0);
      }
    },
    180_000,
  );

  it('names files that are there', () => {
    const text = readFileSync(join(root, page), 'utf8').replace(/```[\s\S]*?```/g, '');
    const links = [...text.matchAll(/\]\((?!https?:|#|mailto:)([^)#\s]+)/g)].map(([, path]) =>
      join(dirname(page), path!),
    );
    const quoted = [...text.matchAll(/`((?:lib|native|test|scripts|docs|examples|bench)\/[\w./-]+)`/g)].map(
      ([, path]) => path!,
    );
    for (const path of [...links, ...quoted])
      expect(existsSync(join(root, path)) || existsSync(join(root, `${path}.ts`)), `${page}: ${path}`).toBe(
        true,
      );
  });
});

it('leaves blocks out for reasons that are written down', () => {
  const left = PAGES.flatMap((page) =>
    blocksOf(join(root, page)).flatMap((block) =>
      treatmentOf(block) === 'left out' ? [`${page}:${block.line}: ${block.reason}`] : [],
    ),
  );
  for (const entry of left) expect(entry).toMatch(/: \S.{10,}/);
  // A block more that is not run should be a decision: raise the number with it.
  expect(left.length, left.join('\n')).toBeLessThanOrEqual(19);
});

it('docs/errors.md says of every code what it means and what to do', () => {
  const rows = readFileSync(join(root, 'docs', 'errors.md'), 'utf8').matchAll(
    /^\| `([A-Z_]+)` \|(.+)\|(.+)\|$/gm,
  );
  const told = [...rows].map(([, code, meaning, advice]) => {
    expect(meaning!.trim().length, code).toBeGreaterThan(10);
    expect(advice!.trim().length, code).toBeGreaterThan(10);
    return code;
  });
  expect(told).toEqual([...ERROR_CODES]);
});
