// Finds and loads the native addon at its first use, not at import: reading data or a report must work where no addon
// was built, and what is missing should be said in a sentence to whoever asked for it.
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { MlitError } from './errors';
import { packageRoot } from './package-root';
import type { NativeAddon } from './types';

/** The oldest system that the prebuilt addon runs on; a test holds its symbols to it. */
export const SYSTEM_FLOOR = { glibc: '2.34', libstdcxx: 'GLIBCXX_3.4.29' } as const;

const requireHere = createRequire(import.meta.url);

let loaded: NativeAddon | undefined;

/**
 * The native addon of this environment (the main thread and each worker have their own), loaded once.
 *
 * @throws {MlitError} `ADDON_UNAVAILABLE` where it is missing or cannot be loaded here; `cause` is the loader's own error.
 */
export function loadAddon(): NativeAddon {
  loaded ??= openAddon(packageRoot());
  return loaded;
}

function openAddon(root: string): NativeAddon {
  let path: string | undefined;
  try {
    path = (requireHere('node-gyp-build') as { resolve(folder: string): string }).resolve(root);
    const addon = requireHere(path) as NativeAddon;
    addon.setErrorClass(MlitError);
    return addon;
  } catch (cause) {
    throw unavailable(root, path, cause as Error);
  }
}

function unavailable(root: string, path: string | undefined, cause: Error): MlitError {
  const machine = `${process.platform} ${process.arch}`;
  const glibc = runtimeGlibc();
  const [what, reason] =
    path === undefined
      ? [
          `no native addon for ${machine} in ${join(root, 'build', 'Release')} or ${join(root, 'prebuilds')}`,
          '',
        ]
      : [`the native addon ${path} could not be loaded`, `: ${cause.message.trim()}`];
  const advice =
    `The package from the registry brings it for linux-x64; in a clone of the repository \`npm run setup\` builds it. ` +
    `It needs Linux on x64 or arm64 with glibc ${SYSTEM_FLOOR.glibc} and libstdc++ of GCC 11 (${SYSTEM_FLOOR.libstdcxx}) or later; this is ${machine} with ${glibc ? `glibc ${glibc}` : 'another C library'}.`;
  return new MlitError('ADDON_UNAVAILABLE', `${what}${reason}. ${advice}`, {
    cause,
    fields: {
      platform: process.platform,
      arch: process.arch,
      ...(glibc === undefined ? {} : { glibc }),
      ...(path === undefined ? { folder: root } : { file: path }),
    },
  });
}

/** The C library's version as Node's diagnostic report has it; undefined where it is not glibc. */
export function runtimeGlibc(): string | undefined {
  const report = process.report?.getReport() as { header?: { glibcVersionRuntime?: string } } | undefined;
  return report?.header?.glibcVersionRuntime;
}
