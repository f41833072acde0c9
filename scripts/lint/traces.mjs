// What must not be committed: paths of one machine, download addresses in the lock file, left-open work, tests
// that are switched off, and files too large for a repository of sources.
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../setup/common.mjs';

const rules = [
  [/(?<![\w.$}])\/(?:work|root|farm|home\/[a-z]\w*)\/\w/, 'a path of one machine'],
  [/"resolved": *"https?:/, 'a download address (npm writes none with the settings of .npmrc)'],
  [/\b(?:TO)DO\b|\bFIX(?:ME)\b/, 'work left open'],
  [/\b(?:it|test|describe)\.(?:skip|only)\(/, 'a test that is switched off, or switches off the others'],
];
const maxBytes = 2 * 1024 * 1024;
const binary = /\.(?:gguf|safetensors|bin|npy|png|gz|ico|woff2?)$/;

export function checkTraces(files) {
  const findings = [];
  for (const file of files) {
    const path = join(root, file);
    const { size } = statSync(path);
    if (size > maxBytes) findings.push(`${file}: ${size} bytes; at most ${maxBytes} are committed`);
    if (binary.test(file) || size > maxBytes) continue;
    readFileSync(path, 'utf8')
      .split('\n')
      .forEach((line, index) => {
        for (const [pattern, what] of rules) {
          if (pattern.test(line)) findings.push(`${file}:${index + 1}: ${what}: ${line.trim().slice(0, 80)}`);
        }
      });
  }
  return findings;
}
