#!/usr/bin/env node
// The launcher: finds the bundled command line beside it, whatever the current folder, and says what to do when
// there is none.
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const cli = new URL('../dist/cli.js', import.meta.url);
if (!existsSync(cli)) {
  const folder = fileURLToPath(new URL('..', import.meta.url));
  process.stderr.write(`mlit: this copy is not built yet. Run \`npm run setup\` in ${folder} first.\n`);
  process.exit(1);
}
await import(cli.href);
