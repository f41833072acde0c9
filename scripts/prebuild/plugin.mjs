// The CUDA plug-in goes where the addon goes: it is looked for in the addon's own folder. A build without one is a package without one.
import { copyFileSync, existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { runLogged, SetupError } from '../setup/common.mjs';
import { checkLibrary } from './elf.mjs';

const name = 'mlit_cuda.so';

/** Copies the plug-in of a build, stripped, and holds it to the floor; the copy's path, or undefined where none was built. */
export async function shipPlugin(release, folder) {
  const built = join(release, name);
  const copy = join(folder, name);
  rmSync(copy, { force: true });
  if (!existsSync(built)) return undefined;
  copyFileSync(built, copy);
  await runLogged('strip', ['--strip-unneeded', copy], { log: 'prebuild-plugin' });
  const findings = checkLibrary(copy);
  if (findings.length > 0) {
    rmSync(copy);
    throw new SetupError(`${built}:\n${findings.join('\n')}`);
  }
  return copy;
}
