// Time left: each kind of job by how its own kind has kept to the plan, once enough is known.
import { describe, expect, it } from 'vitest';
import { Pace } from '../../lib/experiment/pace';

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
});
