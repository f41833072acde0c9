// Where a process stands among others, by what launchers put into its environment; and how a step's records are dealt.
import { describe, expect, it } from 'vitest';
import { dealExamples, packExamples } from '../../lib/data/packing';
import { findRanks } from '../../lib/index';

describe('findRanks', () => {
  it.each([
    ['nothing', {}, undefined],
    ['one rank', { RANK: '0', WORLD_SIZE: '1', MASTER_ADDR: 'a', MASTER_PORT: '7' }, undefined],
    ['a batch script of Slurm, which is no step', { SLURM_PROCID: '0', SLURM_NTASKS: '4' }, undefined],
    [
      'Open MPI',
      { OMPI_COMM_WORLD_RANK: '1', OMPI_COMM_WORLD_SIZE: '4' },
      { rank: 1, size: 4, meet: undefined },
    ],
    ['MPICH', { PMI_RANK: '2', PMI_SIZE: '3' }, { rank: 2, size: 3, meet: undefined }],
    ['srun', { SLURM_PROCID: '5', SLURM_STEP_NUM_TASKS: '8' }, { rank: 5, size: 8, meet: undefined }],
    [
      'srun with an address',
      { SLURM_PROCID: '0', SLURM_STEP_NUM_TASKS: '2', MASTER_ADDR: 'n1', MASTER_PORT: '29500' },
      { rank: 0, size: 2, meet: { host: 'n1', port: 29500 } },
    ],
    [
      'torchrun in a step of Slurm, whose own port is taken',
      {
        SLURM_PROCID: '1',
        SLURM_STEP_NUM_TASKS: '2',
        RANK: '5',
        WORLD_SIZE: '8',
        MASTER_ADDR: 'n1',
        MASTER_PORT: '29500',
        TORCHELASTIC_USE_AGENT_STORE: 'True',
      },
      { rank: 5, size: 8, meet: { host: 'n1', port: 29501 } },
    ],
  ])('understands %s', (_what, env, place) => {
    expect(findRanks(env)).toEqual(place && expect.objectContaining(place));
  });

  it.each([
    [{ RANK: '2', WORLD_SIZE: '2' }, /RANK is '2', expected a whole number from 0 to 1/],
    [{ RANK: '0', WORLD_SIZE: 'two' }, /WORLD_SIZE is 'two'/],
    [{ RANK: '0', WORLD_SIZE: '2', MASTER_ADDR: 'n1' }, /MASTER_PORT is '', expected a whole number from 1/],
  ])('refuses what makes no sense', (env, message) => {
    expect(() => findRanks(env)).toThrow(message);
  });
});

describe('dealing', () => {
  const examples = [9, 3, 3, 8, 1, 7].map((length, i) => ({
    id: `r${i}`,
    tokens: new Int32Array(length),
    weights: new Float32Array(length).fill(1),
  }));

  it('gives each rank about as many tokens, the same whoever asks', () => {
    expect(dealExamples(examples, 1)).toEqual([[0, 1, 2, 3, 4, 5]]);
    expect(dealExamples(examples, 2)).toEqual([
      [0, 1, 2, 4],
      [3, 5],
    ]);
    expect(dealExamples(examples.slice(0, 2), 3)).toEqual([[0], [1], []]);
  });

  it('keeps the number that a record has in its step', () => {
    const [group] = packExamples([examples[3]!, examples[5]!], { microTokens: 20, records: [3, 5] });
    expect(group!.members).toEqual([0, 1]);
    expect([...group!.batch.records!]).toEqual([3, 5]);
  });
});
