// The library for import and require alike with its types, the command line as one ESM file, and a script for each page.
import { defineConfig } from 'tsup';

const common = { target: 'node20', platform: 'node', sourcemap: true, splitting: false } as const;

export default defineConfig([
  { ...common, entry: { index: 'lib/index.ts' }, format: ['esm', 'cjs'], dts: true, shims: true },
  { ...common, entry: { cli: 'lib/cli/main.ts' }, format: ['esm'] },
  {
    entry: { annotate: 'lib/annotate/client/main.ts', report: 'lib/report/page/client/main.ts' },
    outDir: 'dist/page',
    platform: 'browser',
    target: 'es2022',
    format: ['iife'],
    outExtension: () => ({ js: '.js' }),
    minify: true,
  },
]);
