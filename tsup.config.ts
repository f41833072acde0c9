// Two bundles: the library for import and require alike with its types, and the command line as one ESM file.
import { defineConfig } from 'tsup';

const common = { target: 'node20', platform: 'node', sourcemap: true, splitting: false } as const;

export default defineConfig([
  { ...common, entry: { index: 'lib/index.ts' }, format: ['esm', 'cjs'], dts: true, shims: true },
  { ...common, entry: { cli: 'lib/cli/main.ts' }, format: ['esm'] },
]);
