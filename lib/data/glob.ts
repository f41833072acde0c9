// Patterns for files, the same on disk and on a hub: `*` and `?` within a name, `**` over folders.

import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { MlitError } from '../native/errors';

export function isGlob(pattern: string): boolean {
  return /[*?]/.test(pattern);
}

/** Matches whole paths with `/` between names; names that begin with a dot only where the pattern's does. */
export function globToRegExp(pattern: string): RegExp {
  const parts = pattern.split('/').map((part, at, all) => {
    const last = at === all.length - 1;
    if (part === '**') return last ? '.*' : '(?:(?!\\.)[^/]+/)*';
    const body = part
      .replace(/[.+^${}()|[\]\\]/g, '\\$&')
      .replace(/\*+/g, '[^/]*')
      .replace(/\?/g, '[^/]');
    return `${/^[*?]/.test(part) ? '(?!\\.)' : ''}${body}${last ? '' : '/'}`;
  });
  return new RegExp(`^${parts.join('')}$`, 's');
}

/**
 * The files that a pattern names, sorted; a file of that very name is just itself.
 *
 * @throws MlitError `FILE_NOT_FOUND` where nothing matches
 */
export async function expandGlob(pattern: string): Promise<string[]> {
  if (!isGlob(pattern) || (await stat(pattern).catch(() => undefined)) !== undefined) return [pattern];
  const names = pattern.split('/');
  const fixed = names.slice(0, names.findIndex(isGlob)).join('/');
  const root = fixed === '' ? (pattern.startsWith('/') ? '/' : '.') : fixed;
  const wanted = globToRegExp(pattern.startsWith('./') ? pattern.slice(2) : pattern);
  const depth = names.includes('**') ? Number.POSITIVE_INFINITY : names.length;
  const found: string[] = [];
  const walk = async (folder: string): Promise<void> => {
    const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
    for (const entry of entries) {
      const path = join(folder, entry.name);
      const isFolder = entry.isDirectory();
      if (isFolder && path.split('/').length < depth) await walk(path);
      else if (!isFolder && wanted.test(path)) found.push(path);
    }
  };
  await walk(root);
  if (found.length === 0) {
    throw new MlitError('FILE_NOT_FOUND', `${pattern}: no file matches this pattern`, {
      fields: { file: pattern },
    });
  }
  return found.sort();
}
