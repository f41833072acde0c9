// A load of gigabytes must end when its caller no longer wants it, not when it is done.
import { expect, it } from 'vitest';
import { Model } from '../../lib/index';
import { fixture } from '../support/fixtures';

it('an aborted load ends midway, with the reason', async () => {
  const abort = new AbortController();
  const reason = new Error('never mind');
  const seen: number[] = [];
  const loading = Model.load({
    model: fixture('gemma3-tiny', 'model.gguf'),
    threads: 1,
    signal: abort.signal,
    onProgress: (fraction) => {
      seen.push(fraction);
      abort.abort(reason);
    },
  });
  await expect(loading).rejects.toBe(reason);
  expect(seen).toHaveLength(1);
  expect(seen[0]).toBeLessThan(1);
});
