// The first source: a Hugging Face hub. Many machines cannot reach one, so it gets three seconds to send its
// first byte; and a hub that tells the file's SHA-256 before sending it is spared the transfer of a wrong one.

import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { fileDownloadInfo } from '@huggingface/hub';
import { MlitError } from '../native/errors';
import type { SourceRequest } from './pull-source';

const FIRST_BYTE_MS = 3_000;
const IDLE_MS = 20_000;

const truthy = /^(?:1|true|yes|on)$/i;

function failed(message: string): MlitError {
  return new MlitError('DOWNLOAD_FAILED', `hub: ${message}`, { fields: { source: 'hub' } });
}

/** Downloads `model.hub` to `target`; returns its SHA-256. Honours HF_ENDPOINT, HF_HUB_OFFLINE and HF_TOKEN. */
export async function fetchFromHub({ model, target, signal, onBytes }: SourceRequest): Promise<string> {
  const { hub } = model;
  if (!hub) throw failed('no address known');
  if (truthy.test(process.env.HF_HUB_OFFLINE ?? '')) throw failed('left out, HF_HUB_OFFLINE is set');
  const hubUrl = (process.env.HF_ENDPOINT || 'https://huggingface.co').replace(/\/+$/, '');
  const token = process.env.HF_TOKEN;

  // One clock for "first byte within three seconds", wound up anew by each chunk afterwards.
  const clock = new AbortController();
  const waitFor = (ms: number, what: string) => setTimeout(() => clock.abort(failed(what)), ms);
  let timer = waitFor(FIRST_BYTE_MS, `no answer from ${hubUrl} within ${FIRST_BYTE_MS / 1000} s`);
  const both = signal ? AbortSignal.any([signal, clock.signal]) : clock.signal;
  const timedFetch: typeof fetch = (input, init) => fetch(input, { ...init, signal: both });

  try {
    const info = await fileDownloadInfo({
      repo: { type: 'model', name: hub.repo },
      path: hub.path,
      revision: hub.revision,
      hubUrl,
      fetch: timedFetch,
      ...(token ? { accessToken: token } : {}),
    });
    if (!info) throw failed(`${hub.repo} has no file ${hub.path}`);
    const announced = /^"?([0-9a-f]{64})"?$/.exec(info.etag)?.[1];
    if (announced !== undefined && announced !== model.sha256) {
      throw new MlitError(
        'CHECKSUM_MISMATCH',
        `hub: ${hub.repo} offers another file (SHA-256 ${announced})`,
        {
          fields: { source: 'hub', sha256: announced, expected: model.sha256 },
        },
      );
    }
    const headers = token ? { Authorization: `Bearer ${token}` } : {};
    const response = await timedFetch(info.url, { headers });
    if (!response.ok || !response.body) throw failed(`HTTP ${response.status} for ${hub.path}`);

    const hash = createHash('sha256');
    let doneBytes = 0;
    const body = response.body;
    await pipeline(
      async function* () {
        for await (const chunk of body) {
          clearTimeout(timer);
          timer = waitFor(IDLE_MS, `nothing came for ${IDLE_MS / 1000} s`);
          hash.update(chunk);
          doneBytes += chunk.byteLength;
          onBytes(doneBytes);
          yield chunk;
        }
      },
      createWriteStream(target, { flags: 'wx' }),
    );
    if (doneBytes !== model.bytes) throw failed(`${doneBytes} bytes came, expected ${model.bytes}`);
    return hash.digest('hex');
  } catch (error) {
    if (clock.signal.aborted && !signal?.aborted) throw clock.signal.reason;
    throw error;
  } finally {
    clearTimeout(timer);
  }
}
