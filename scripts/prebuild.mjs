// The addon as the package ships it: prebuilds/linux-ARCH/mlit-native.glibc.node, stripped and held to the floor of systems
// that it promises. `npm run prebuild [-- --arch arm64]`; the latter wants Debian's g++-aarch64-linux-gnu.
import { chmodSync, mkdirSync, rmSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { parseArgs } from 'node:util';
import { checkLibrary } from './prebuild/elf.mjs';
import { shipPlugin } from './prebuild/plugin.mjs';
import { root, runLogged, SetupError, say } from './setup/common.mjs';

const archs = { x64: 'strip', arm64: 'aarch64-linux-gnu-strip' };

/** Builds one architecture's addon into prebuilds/ and returns its path. */
async function prebuild(arch) {
  const foreign = arch !== process.arch;
  const stage = join(root, 'build-prebuild', arch); // prebuildify moves what it finds in its build/Release, so not ours
  const folder = join(root, 'prebuilds', `linux-${arch}`);
  for (const path of [stage, folder]) rmSync(path, { recursive: true, force: true });
  mkdirSync(stage, { recursive: true });
  const nodeGyp = join(root, 'scripts', 'prebuild', 'node-gyp.mjs');
  chmodSync(nodeGyp, 0o755);
  const prebuildify = join(root, 'node_modules', 'prebuildify', 'bin.js');
  const options = ['--name', 'mlit-native', '--napi', '--strip', '--tag-libc', '--target', 'node@20.0.0'];
  const places = ['--cwd', stage, '--out', root, '--arch', arch, '--platform', 'linux', '--libc', 'glibc'];
  const strip = foreign ? archs[arch] : 'strip';
  await runLogged(process.execPath, [prebuildify, ...options, ...places, '--strip-bin', strip], {
    log: `prebuild-${arch}`,
    env: { ...process.env, PREBUILD_NODE_GYP: nodeGyp },
  });
  rmSync(stage, { recursive: true });
  return join(folder, 'mlit-native.glibc.node');
}

try {
  const { values } = parseArgs({ options: { arch: { type: 'string', default: process.arch } } });
  if (!Object.hasOwn(archs, values.arch)) {
    throw new SetupError(`--arch takes ${Object.keys(archs).join(', ')}; got '${values.arch}'`);
  }
  const file = await prebuild(values.arch);
  const findings = checkLibrary(file);
  if (findings.length > 0) throw new SetupError(`${relative(root, file)}:\n${findings.join('\n')}`);
  say(`${relative(root, file)} is ready.`);
  // A cross build makes no plug-in.
  const release = join(root, 'build', 'Release');
  const plugin = values.arch === process.arch ? await shipPlugin(release, dirname(file)) : undefined;
  if (plugin !== undefined) say(`${relative(root, plugin)} is beside it.`);
} catch (error) {
  say(error instanceof SetupError ? error.message : `prebuild failed: ${error?.message ?? error}`);
  process.exit(1);
}
