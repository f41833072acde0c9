// `mlit experiment run` with a judge, in processes of its own: the plan tells what it may cost, a killed run and a spent budget go on
// where they stopped, and what is missing is an error after everything else is written.
import { spawn } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { storedAnswers } from '../../lib/experiment/answers';
import { mlit } from '../support/cli';
import { smallExperiment } from '../support/experiment';
import { type FakeEndpoint, preferring, startEndpoint } from '../support/fake-endpoint';
import { root, scratch } from '../support/fixtures';

const folder = scratch();
const longer = preferring((a, b) => (a > b ? 'A' : 'B'));
let endpoint: FakeEndpoint;
beforeAll(async () => {
  endpoint = await startEndpoint(longer);
});
afterAll(() => endpoint.stop());

const ARGS = ['experiment', 'run', 'small.yaml', '--yes'];
const run = (...more: string[]) => mlit([...ARGS, ...more], { cwd: folder });
function write(judge: object): void {
  const input = smallExperiment(folder, {
    ...{ languages: ['en', 'fi'], evalLanguages: ['en', 'fi'], evalItems: 2, ticks: [0, 50], base: false },
    train: { learningRate: 0.05, steps: 4, batchExamples: 4, rank: 2 },
    sample: { maxNewTokens: 8, temperature: 1 },
    judge: { name: `openai:gpt-x@${endpoint.url}`, concurrency: 1, ...judge },
  });
  writeFileSync(join(folder, 'small.yaml'), stringify(input));
}
/** Four kinds of two items in two languages, and two items in two languages, each in both orders. */
const MOST = 2 * (4 * 2 * 2 + 2 * 2);

describe('mlit experiment run with a judge', () => {
  it('plans its calls, goes on after SIGKILL and a budget, and ends with 1 while judgements are missing', async () => {
    write({});
    const planned = await run('--dry-run');
    expect(planned.stderr).toMatch(/^judge +1 +0 +1 /m);
    expect(planned.stderr).toContain(`to ask of endpoints that judge: at most ${MOST} calls`);
    expect(endpoint.calls).toHaveLength(0);

    await new Promise((resolve) => {
      const child = spawn(process.execPath, [join(root, 'bin', 'mlit.mjs'), ...ARGS], {
        cwd: folder,
        stdio: 'ignore',
      });
      endpoint.answer = (call) => {
        if (call.number < 6) return longer(call);
        child.kill('SIGKILL');
        return 'hang';
      };
      child.on('close', resolve);
    });
    endpoint.answer = longer;
    expect(endpoint.calls).toHaveLength(6);

    write({ maxCalls: 5 });
    const limited = await run();
    expect(limited.code).toBe(1);
    expect(limited.stderr).toMatch(
      /1 judgement is missing; judge of pinch-50 .* stopped at maxCalls \(5 calls\).*\[JUDGE_LIMIT\]/,
    );
    expect(limited.stdout).toContain('by chrF');
    expect(limited.stdout).toContain('1 of 1 judgements are not finished');
    const report = join(folder, 'runs/experiments/small/report/report.html');
    expect(existsSync(report)).toBe(true);
    expect(endpoint.calls).toHaveLength(11);

    write({});
    const whole = await run();
    expect(whole.code, whole.stderr).toBe(0);
    const { verdicts = [] } = await storedAnswers(join(folder, 'runs'), 'small');
    const asked = verdicts.filter(({ identical }) => !identical).length;
    expect(asked).toBeGreaterThan(0);
    // The sixth call was killed before its answer came.
    expect(endpoint.calls).toHaveLength(MOST - (verdicts.length - asked) + 1);
    expect(readFileSync(report, 'utf8')).toContain(
      `<option value="openai:gpt-x@${new URL(endpoint.url).host} (forced)">`,
    );
    expect(await run()).toMatchObject({ code: 0 });
    expect(endpoint.calls).toHaveLength(MOST - (verdicts.length - asked) + 1);
  });
});
