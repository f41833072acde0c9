// A full disk is the one failure that a long run meets by itself: it is told apart from others, with what is free, and
// nothing is lost by it.
import { statfs } from 'node:fs/promises';
import { MlitError } from '../../native/errors';

const FULL = new Set(['ENOSPC', 'EDQUOT', 'EFBIG']);
const EXPLAINED = 'the disk or quota of';
const FULL_TEXT = /No space left on device|Disk quota exceeded|File too large/i;

/** The error that says so where a write failed for want of room, also when that is only its cause; else the error itself. */
export async function explainFullDisk(error: unknown, folder: string): Promise<unknown> {
  if (error instanceof MlitError && error.message.startsWith(EXPLAINED)) return error;
  for (let each = error; each instanceof Error; each = each.cause) {
    const { code } = each as NodeJS.ErrnoException;
    if (!FULL.has(code ?? '') && !FULL_TEXT.test(each.message)) continue;
    const free = await freeBytes(folder);
    const left = free === undefined ? '' : ` (${(free / 2 ** 20).toFixed(1)} MiB free)`;
    const file = error instanceof MlitError ? error.fields.file : undefined;
    const what = file === undefined || each.message.includes(String(file)) ? '' : `${file}: `;
    return new MlitError(
      'FILE_IO',
      `${EXPLAINED} ${folder} is full${left}: ${what}${each.message}. Make room and start the same command again; what is finished stays`,
      { fields: { file: folder, ...(free !== undefined && { free }) }, cause: error },
    );
  }
  return error;
}

/** Bytes that this user may still write; undefined where the file system does not tell. */
async function freeBytes(folder: string): Promise<number | undefined> {
  const info = await statfs(folder).catch(() => undefined);
  return info && info.bavail * info.bsize;
}
