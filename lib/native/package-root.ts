// Where this package lies, bundled or not: its addon and its pages' scripts are found from there.
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { MlitError } from './errors';

const packageName = 'mlit-native';

let found: string | undefined;

/**
 * The nearest folder above this module that is this package's own.
 *
 * @throws MlitError `ADDON_UNAVAILABLE` where there is none: the file was taken out of its package
 */
export function packageRoot(): string {
  found ??= findRoot(dirname(fileURLToPath(import.meta.url)));
  return found;
}

function findRoot(start: string): string {
  for (let folder = start; ; folder = dirname(folder)) {
    const file = join(folder, 'package.json');
    if (existsSync(file) && JSON.parse(readFileSync(file, 'utf8')).name === packageName) return folder;
    if (folder === dirname(folder)) {
      throw new MlitError('ADDON_UNAVAILABLE', `no package.json of ${packageName} in ${start} or above it`, {
        fields: { folder: start },
      });
    }
  }
}
