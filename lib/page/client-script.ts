// A page's script as the bundler made it of its TypeScript: one file of dist/page a page, read when a page is written.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { MlitError } from '../native/errors';
import { packageRoot } from '../native/package-root';

const read = new Map<string, string>();

/**
 * The script `name` of this package's pages, ready to stand inside a `<script>` element.
 *
 * @throws MlitError `FILE_NOT_FOUND` where the package was not built whole
 */
export function clientScript(name: string): string {
  const known = read.get(name);
  if (known !== undefined) return known;
  const file = join(packageRoot(), 'dist', 'page', `${name}.js`);
  let script: string;
  try {
    script = readFileSync(file, 'utf8');
  } catch (cause) {
    throw new MlitError(
      'FILE_NOT_FOUND',
      `${file}: the page's script is not there; in a clone of the repository \`npm run setup\` builds it, an installed package is not whole without it`,
      { fields: { file }, cause },
    );
  }
  // A string that holds the end of the element would end it.
  script = script.trim().replaceAll('</script', '<\\/script').replaceAll('<!--', '<\\!--');
  read.set(name, script);
  return script;
}
