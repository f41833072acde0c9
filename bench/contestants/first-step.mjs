// From a command to the end of its first optimiser step: `node first-step.mjs PROGRAM ARGUMENTS…` starts `mlit train`, waits until it tells
// of step 1, and says after how many seconds that was and how large the process had become.
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { performance } from 'node:perf_hooks';

const [program, ...args] = process.argv.slice(2);
const begun = performance.now();
const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'] });
let told = '';
let result;
child.stderr.on('data', (chunk) => {
  told = `${told}${chunk}`.slice(-4000);
  if (result !== undefined || !/\bstep 1\/1\b/.test(told)) return;
  const firstStepSeconds = (performance.now() - begun) / 1000;
  const peak = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'));
  result = { firstStepSeconds, ...(peak && { peakBytes: Number(peak[1]) * 1024 }) };
});
child.on('close', (code) => {
  if (code === 0 && result !== undefined) return console.log(JSON.stringify(result));
  process.stderr.write(told);
  process.exitCode = code || 1;
});
