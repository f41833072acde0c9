// The house rule that a file imports only from its own floor's room or from floors below, for both languages.
import { readFileSync } from 'node:fs';
import { dirname, join, normalize, relative } from 'node:path';
import { root } from '../setup/common.mjs';

// From the ground up; the rooms of one floor do not see each other.
const libFloors = [
  ['native'],
  ['text'],
  ['model', 'http', 'page'],
  ['data', 'export'],
  ['train', 'sample'],
  ['eval', 'serve'],
  ['experiment'],
  ['report', 'annotate'],
  ['cli'],
];
const nativeFloors = [
  ['core'],
  ['checkpoint', 'backend'],
  ['model', 'ranks'],
  ['train', 'sample', 'export'],
  ['addon'],
];

const floorOf = (floors, room) => floors.findIndex((rooms) => rooms.includes(room));

/** Findings for one file's imports, given as paths below the same top folder. */
function judge(file, room, imports, floors) {
  const own = floorOf(floors, room);
  if (own < 0) return [];
  return imports.flatMap((target) => {
    const other = target.split('/')[0];
    const floor = floorOf(floors, other);
    if (other === room || target === 'package.json' || (floor >= 0 && floor < own)) return [];
    return [`${file} (floor of ${room}) imports ${target}, which is not below it`];
  });
}

function libImports(file, text) {
  const specifiers = [...text.matchAll(/(?:\bfrom|\bimport)\s*\(?\s*['"](\.[^'"]+)['"]/g)].map(
    (match) => match[1],
  );
  return specifiers.map((specifier) => normalize(join(dirname(file), specifier)).replace(/^lib\//, ''));
}

/** Findings for files given by their paths from the repository's top, below its folder `base` where there is one. */
export function checkFloors(libFiles, nativeFiles, { base = root } = {}) {
  const read = (file) => readFileSync(join(root, file), 'utf8');
  const inside = (file) => relative(base, join(root, file));
  const findings = [];
  for (const path of libFiles) {
    const file = inside(path);
    const [, room, rest] = file.split('/');
    // lib/index.ts and its like stand on the roof: they may see everything.
    if (rest !== undefined) findings.push(...judge(file, room, libImports(file, read(path)), libFloors));
  }
  for (const path of nativeFiles) {
    const file = inside(path);
    // Tests beside what they test see everything, as those of native/test do.
    if (file.includes('/test/')) continue;
    const room = file.split('/')[1];
    const includes = [...read(path).matchAll(/^\s*#include\s+"([^"]+)"/gm)].map((match) => match[1]);
    const targets = includes.map((target) => (target.includes('/') ? target : `${room}/${target}`));
    findings.push(...judge(file, room, targets, nativeFloors));
  }
  return findings;
}
