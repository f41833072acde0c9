// Time left: each kind of job by how its own kind has kept to the plan, once enough is known.
import { describe, expect, it } from 'vitest';
import { Pace } from '../../lib/experiment/pace';
import { UnderWay } from '../../lib/experiment/under-way';

describe('Pace', () => {
  it('takes the plan as it is while little is known', () => {
    const pace = new Pace();
    pace.add('train', 5, 50);
    expect(pace.expect('train', 7)).toBe(7);
  });

  it('corrects a kind by its own jobs, and others by all', () => {
    const pace = new Pace();
    pace.add('train', 20, 40);
    pace.add('train', 20, 20);
    pace.add('sample', 5, 30);
    expect(pace.expect('train', 10)).toBe(15);
    // Not enough of it is known: 45 seconds planned took 90 in all.
    expect(pace.expect('sample', 10)).toBe(20);
    expect(pace.expect('score', 10)).toBe(20);
  });

  it('corrects by what is under way', () => {
    const pace = new Pace();
    pace.add('train', 10, 10);
    const now = { kind: 'train', planned: 10, taken: 30 } as const;
    expect(pace.expect('train', 10, now)).toBe(20);
    expect(pace.expect('score', 10, now)).toBe(20);
    expect(pace.expect('train', 10)).toBe(10);
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
