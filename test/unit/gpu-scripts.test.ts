// `npm run test:gpu` and `npm run bench:gpu` where there is no card: they say why, and that they skipped, and are content.
import { spawnSync } from 'node:child_process';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { rowsOf } from '../../bench/gpu-report.mjs';
import { architecture, findCards } from '../../scripts/cuda/gpu.mjs';
import { root, scratch } from '../support/fixtures';

const folder = scratch();

/** A program that answers as nvidia-smi would. */
function smi(name: string, script: string): string {
  const file = join(folder, name);
  writeFileSync(file, `#!/bin/sh\n${script}\n`);
  chmodSync(file, 0o755);
  return name;
}

describe('without a card', () => {
  it.each(['scripts/gpu-test.mjs', 'bench/gpu.mjs'])('%s is skipped with the reason', (script) => {
    const env = { ...process.env, PATH: folder };
    const { status, stdout } = spawnSync(process.execPath, [join(root, script)], { env, encoding: 'utf8' });
    expect(stdout).toMatch(/^skipped: no NVIDIA driver: nvidia-smi is not on the PATH\n$/);
    expect(status).toBe(0);
  });

  it('knows a driver that does not answer and one that shows nothing from one with cards', () => {
    const found = (name: string) => {
      const before = process.env.PATH;
      process.env.PATH = `${folder}:${before}`;
      try {
        return findCards(name);
      } finally {
        process.env.PATH = before;
      }
    };
    expect(found('none').reason).toContain('not on the PATH');
    expect(found(smi('broken', 'exit 9')).reason).toContain('does not answer');
    expect(found(smi('empty', 'true')).reason).toContain('shows no device');
    const two = smi('two', 'echo "NVIDIA H100 80GB HBM3, 9.0"; echo "NVIDIA GeForce RTX 4090, 8.9"');
    expect(found(two).cards).toEqual([
      { name: 'NVIDIA H100 80GB HBM3', architecture: '90a' },
      { name: 'NVIDIA GeForce RTX 4090', architecture: '89' },
    ]);
  });
});

it('names architectures as the plug-in does', () => {
  expect(['8.0', '9.0', '10.0', '12.0'].map(architecture)).toEqual(['80', '90a', '100', '120']);
});

it('puts ratios beside rates', () => {
  const own = {
    train: { tokensPerSecond: 3000, modelFlopsUtilisation: 0.3, memory: { runtimePeakBytes: 2e9 } },
    sample: { newTokensPerSecond: 500 },
  };
  const peers = {
    transformers: { tokensPerSecond: 1000, peakBytes: 4e9, sampledTokensPerSecond: 250 },
    unsloth: { failed: 'no kernel image' },
  };
  const rows = rowsOf(own, peers);
  expect(rows[1]).toEqual(['transformers', '1000', '3.00×', '10 %', '4.00', '250', '2.00×']);
  expect(rows[2]?.[0]).toBe('unsloth: no kernel image');
});
