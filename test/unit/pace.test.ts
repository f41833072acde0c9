// Time left: each kind of job by how its own kind has kept to the plan, once enough is known.
import { describe, expect, it } from 'vitest';
import { Pace } from '../../lib/experiment/pace';
import { UnderWay } from '../../lib/experiment/under-way';

describe('Pace', () => {
  it('takes the plan as it is while nothing is known', () => {
    expect(new Pace().expect('train', 7)).toBe(7);
  });

  it('corrects a kind by its own jobs the more the longer they took, and others by all', () => {
    const pace = new Pace();
    pace.add('train', 20, 110);
    pace.add('sample', 10, 10);
    // Of all: (30 + 120) / (30 + 30).
    expect(pace.expect('score', 10)).toBe(25);
    // A kind is not told twice of its own: (30 + 10) / (30 + 10), then (30 + 110) / (30 + 20).
    expect(pace.expect('train', 10)).toBe(28);
    // (30 + 110) / (30 + 20), then (30 · 2.8 + 10) / (30 + 10).
    expect(pace.expect('sample', 10)).toBeCloseTo(23.5, 10);
    pace.add('train', 1e6, 3e6);
    expect(pace.expect('train', 10)).toBeCloseTo(30, 2);
  });

  it('corrects by what is under way', () => {
    const pace = new Pace();
    const now = { kind: 'train', planned: 30, taken: 90 } as const;
    expect(pace.expect('score', 10, now)).toBe(20);
    expect(pace.expect('train', 10, now)).toBe(20);
    expect(pace.expect('train', 10)).toBe(10);
  });

  it('is not carried away by a slow beginning', () => {
    expect(new Pace().expect('train', 3000, { kind: 'train', planned: 5, taken: 60 })).toBeLessThan(8000);
  });
});

describe('jobs that are done together', () => {
  it('have worked off what each of them has, less what an interrupted run had done before', () => {
    let at = 1000;
    const underWay = new UnderWay({ a: 10, b: 20, c: 30 }, () => at);
    expect(underWay.work).toEqual({ planned: 0, taken: 0 });
    underWay.update('a', 0.5);
    underWay.update('b', 0);
    at = 5000;
    underWay.update('a', 0.6);
    underWay.update('b', 0.5);
    expect(underWay.work.planned).toBeCloseTo(11, 10);
    expect(underWay.work.taken).toBe(4);
    expect(underWay.open).toEqual({ a: 0.6, b: 0.5 });
    underWay.finish('b');
    expect(underWay.open).toEqual({ a: 0.6 });
    expect(underWay.work.planned).toBeCloseTo(21, 10);
    expect(underWay.fraction('b')).toBe(1);
    expect(underWay.fraction('c')).toBe(0);
  });
});
