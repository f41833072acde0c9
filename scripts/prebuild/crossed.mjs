// How CMake is told of a cross compiler. Debian's headers of Highway, nlohmann-json and GoogleTest serve every architecture, but a
// cross compiler does not look among the system's own: these three get a folder where it does.
import { existsSync, mkdirSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../setup/common.mjs';

const compilers = { arm64: { processor: 'aarch64', prefix: 'aarch64-linux-gnu-' } };

/** `NAME=VALUE` definitions for CMake. */
export function crossed(arch) {
  const { processor, prefix } = compilers[arch];
  const headers = join(root, 'build-prebuild', 'headers');
  rmSync(headers, { recursive: true, force: true });
  mkdirSync(headers, { recursive: true });
  for (const name of ['hwy', 'nlohmann', 'gtest']) {
    const found = [`/usr/local/include/${name}`, `/usr/include/${name}`].find((path) => existsSync(path));
    if (found !== undefined) symlinkSync(found, join(headers, name));
  }
  return [
    'CMAKE_SYSTEM_NAME=Linux',
    `CMAKE_SYSTEM_PROCESSOR=${processor}`,
    `CMAKE_C_COMPILER=${prefix}gcc`,
    `CMAKE_CXX_COMPILER=${prefix}g++`,
    `CMAKE_CXX_FLAGS=-isystem ${headers}`,
  ];
}
