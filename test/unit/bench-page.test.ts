// The page of benchmarks says what the raw results say: ratios round by round, what is worse here marked and named, what is missing with
// its reason; and the one that is committed is what its command writes from the results that are committed with it.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readResults, writePage } from '../../bench/page/files.mjs';
import { benchmarkPage } from '../../bench/page/markdown.mjs';
import { reasonOf } from '../../bench/process.mjs';
import { renderFigure } from '../../lib/report/charts/render';
import { root, scratch } from '../support/fixtures';

const results = readResults(join(root, 'test', 'fixtures', 'bench-page'));
const { markdown, figures } = benchmarkPage(results);

/** The cells of the first row that begins so, behind its name. */
function cells(name: string, text = markdown): string[] {
  const line = text.split('\n').find((each) => each.startsWith(`| ${name} |`));
  expect(line, name).toBeDefined();
  return line!
    .split('|')
    .slice(2, -1)
    .map((cell) => cell.trim());
}
const section = (title: string): string => markdown.split(`\n## ${title}\n`)[1]!.split('\n## ')[0]!;

describe('the page of benchmarks', () => {
  it('divides round by round: the median, the least and the greatest', () => {
    // Rounds: 210 (of 200 and 220) / 70 = 3, 240 / 60 = 4; int8: 600 / 70 = 8.57, 500 / 60 = 8.33. Memory: 8 / 2, 8 / 1.
    expect(cells('transformers + peft float32, batch 4', section('LoRA training'))).toEqual([
      '65.0',
      '3.50× (3.00–4.00)',
      '8.45× (8.33–8.57)',
      '8.00',
      '4.00×',
      '8.00×',
      '95 %',
    ]);
  });

  it('marks and names what is worse here', () => {
    const [, float, int8, , floatMemory] = cells(
      'transformers + peft bfloat16, batch 4',
      section('LoRA training'),
    );
    expect([float, int8, floatMemory]).toEqual(['0.75× (0.70–0.80) ▼', '1.83× (1.67–2.00)', '0.75× ▼']);
    const short = section('In short');
    expect(short).toContain('Worse here: float32 training, tokens/s against transformers + peft bfloat16');
    expect(short).toContain(
      'float32 sampling, 8 prompts × 5 new tokens against llama.cpp batched, Q8_0 (0.63×)',
    );
    expect(short).not.toContain('int8 training, tokens/s against transformers + peft bfloat16, batch 4 (');
  });

  it('says whether everybody did the same work', () => {
    // Losses of 4 and 4.002 in one round; int8's own is no part of it.
    expect(section('LoRA training')).toContain('differ by 0.050 % at most: they did the same work.');
    const train = structuredClone(results.train) as { contestants: { runs: { baseLoss: number }[] }[] };
    train.contestants[2]!.runs[0]!.baseLoss = 4.02;
    expect(benchmarkPage({ train }).markdown).toContain(
      '0.500 % at most: **they did not do the same work.**',
    );
  });

  it('takes prefill and decode apart', () => {
    // Prefill: 80 prompt tokens in 0.08, 0.04 and 0.05 s. Decode: 32 new tokens behind the first of each, in 0.32, 0.06 and 0.2 s.
    const own = cells('mlit-native int8', section('Sampling'));
    expect(own.slice(3, 5)).toEqual(['2000', '533']);
    const apart = section('Sampling').split('here over')[1]!;
    expect(cells('llama.cpp batched, Q8_0', apart)).toEqual([
      '0.63× ▼',
      '1.25×',
      '0.63× ▼',
      '3.33×',
      '0.33× ▼',
    ]);
  });

  it('turns a share of time into how many times faster', () => {
    expect(cells('float32, 96', section('Many adapters at once')).slice(1, 3)).toEqual(['2.00×', '1.60×']);
  });

  it('says what is missing, and why', () => {
    expect(section('Time to the first step')).toContain('Left out: The peers need Python 3.10 or later');
    expect(section('Scaling')).toContain('Left out: not run yet');
    expect(cells('trl float32, packed rows of 4 records')[0]).toBe("No module named 'trl'");
    expect(cells('llama.cpp batched, F32')[0]).toBe('could not be built');
    expect(section('LoRA training')).toContain('The machine was shared while this ran');
    expect(benchmarkPage({}).markdown).toContain('Nothing has been run yet.');
  });

  it('names machine, versions, dates and commands, and no folders', () => {
    const where = section('Where and how');
    expect(cells('processor', where)).toEqual(['Test Processor, 2 cores']);
    expect(cells('torch', where)).toEqual(['2.15.0']);
    expect(cells('llama-cpp-python', where)).toEqual(['0.3.36']);
    expect(cells('Sampling', where)).toEqual([
      '2026-01-02',
      'abc1234',
      '0.5',
      '`npm run bench -- page --only sample`',
    ]);
    expect(markdown).not.toMatch(/(?<![\w.])\/(?:home|root|tmp|work|Users)\//);
  });

  it('is written with its plots beside it, and with none of an older one', async () => {
    const folder = scratch();
    const page = join(folder, 'benchmarks.md');
    await writePage({ results, page, render: renderFigure });
    const drawn = figures.map(({ id }) => `${id}.svg`).sort();
    expect(drawn).toEqual(['sample.svg', 'train.svg']);
    expect(readdirSync(join(folder, 'benchmarks')).sort()).toEqual(drawn);
    expect(readFileSync(page, 'utf8')).toBe(markdown);
    expect(readFileSync(join(folder, 'benchmarks', 'train.svg'), 'utf8')).toContain('int8 here');
    await writePage({ results: { train: results.train }, page, render: renderFigure });
    expect(readdirSync(join(folder, 'benchmarks'))).toEqual(['train.svg']);
  });
});

describe('why a contestant failed', () => {
  it("is Node's error in front of its stack, and Python's last line; no folders of the machine", () => {
    const node =
      "file:///a/b.mjs:3\n\nMlitError: /data/of/me/train.jsonl:12: no token\n    at x (/a/b.mjs:1:2) {\n  code: 'X'\n}\n\nNode.js v20.1.0\n";
    expect(reasonOf(node)).toBe('MlitError: train.jsonl:12: no token');
    const python = "Traceback:\n  File '/a/b.py'\nModuleNotFoundError: No module named 'trl'\n";
    expect(reasonOf(python)).toBe("ModuleNotFoundError: No module named 'trl'");
    expect(reasonOf('llama_decode ended with 1 of 2/3\n')).toBe('llama_decode ended with 1 of 2/3');
    expect(reasonOf('')).toBeUndefined();
  });
});

describe('docs/benchmarks.md', () => {
  it('is what npm run bench -- page --from-results writes', () => {
    const committed = benchmarkPage(readResults(join(root, 'bench', 'results', 'page')));
    expect(readFileSync(join(root, 'docs', 'benchmarks.md'), 'utf8')).toBe(committed.markdown);
    for (const { id } of committed.figures)
      expect(existsSync(join(root, 'docs', 'benchmarks', `${id}.svg`)), id).toBe(true);
  });
});
