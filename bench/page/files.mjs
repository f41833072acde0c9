// Results of the page's suites on the disk, and the page and its plots beside each other.
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { benchmarkPage, SECTIONS } from './markdown.mjs';

/**
 * Every suite's result that a folder has, by the suite's name.
 * @returns {Record<string, object | undefined>}
 */
export function readResults(folder) {
  /** @type {Record<string, object | undefined>} */
  const results = {};
  for (const { name } of SECTIONS) {
    const file = join(folder, `${name}.json`);
    if (existsSync(file)) results[name] = JSON.parse(readFileSync(file, 'utf8'));
  }
  return results;
}

/**
 * Writes the page and, beside it, the folder of its plots, anew.
 * @param {object} what
 * @param {Record<string, object | undefined>} what.results
 * @param {string} what.page the Markdown file
 * @param {(figure: import('../../lib/index').ResultFigure) => Promise<string>} what.render a figure's SVG
 */
export async function writePage({ results, page, render }) {
  const { markdown, figures } = benchmarkPage(results);
  const folder = join(dirname(page), 'benchmarks');
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(figures.length > 0 ? folder : dirname(page), { recursive: true });
  for (const figure of figures) writeFileSync(join(folder, `${figure.id}.svg`), await render(figure));
  writeFileSync(page, markdown);
}
