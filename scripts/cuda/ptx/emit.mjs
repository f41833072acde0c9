// A PTX module as a C++ file for the emulator: a function for each kernel, with registers as locals and branches as gotos, and a table
// that the emulator's launches look kernels up in. `#line` names the source line that nvcc gives, so findings name it too.
import { basename } from 'node:path';
import { translate } from './instruction.mjs';
import { bitsOf, cppType, Operands } from './operands.mjs';
import { PtxError } from './tokens.mjs';

/**
 * nvcc names the unnamed namespace after the file and a hash, g++ does not: the name as g++ has it.
 * `39_GLOBAL__N__853aa3aa_7_norm_cu_94940677` becomes `12_GLOBAL__N_1`.
 */
export function hostName(name) {
  const pattern = /_GLOBAL__N__[\da-f]{8}_(\d+)_/;
  for (;;) {
    const match = pattern.exec(name);
    if (!match) return name;
    const length = match[0].length + Number(match[1]) + 9;
    const before = name.slice(0, match.index);
    if (!before.endsWith(String(length))) throw new Error(`${name} is not mangled as expected`);
    name = `${before.slice(0, -String(length).length)}12_GLOBAL__N_1${name.slice(match.index + length)}`;
  }
}

const string = (text) => JSON.stringify(text);

/** The names of all registers and variables that statements use. */
function mentionedIn(statements) {
  const names = new Set();
  const visit = (operand) => {
    if (operand === undefined) return;
    names.add(operand.name).add(operand.base);
    for (const part of [...(operand.items ?? []), operand.of, operand.first, operand.second]) visit(part);
  };
  for (const { operands, guard } of statements) {
    visit(guard?.register);
    for (const operand of operands ?? []) visit(operand);
  }
  return names;
}

class KernelWriter {
  constructor(kernel, module, number, ptxName) {
    this.kernel = kernel;
    this.module = module;
    this.ptxName = ptxName;
    this.function = `kernel${number}`;
    this.name = hostName(kernel.name);
    this.tables = kernel.tables;
    this.labels = new Set(kernel.statements.filter(({ kind }) => kind === 'label').map(({ name }) => name));
    this.used = new Set();
    this.parameters = new Map(kernel.parameters.map((parameter, i) => [parameter.name, { ...parameter, i }]));
    this.mentioned = mentionedIn(kernel.statements);
    this.variables = [...module.variables, ...kernel.variables].filter(({ own }) => this.mentioned.has(own));
    this.operands = new Operands(kernel.registers, this.symbols());
  }

  symbols() {
    const symbols = new Map();
    for (const { own, space } of this.variables) {
      const name = KernelWriter.variable(own);
      const inMemory = space === 'shared' ? name : `reinterpret_cast<uint64_t>(${name})`;
      symbols.set(own, { space, expression: inMemory });
    }
    for (const { name, i } of this.parameters.values())
      symbols.set(name, { space: 'param', expression: `reinterpret_cast<uint64_t>(parameters[${i}])` });
    return symbols;
  }

  static variable = (name) => `V_${name.replace(/\W/g, '_')}`;

  label(name) {
    if (!this.labels.has(name)) throw new Error(`unknown label ${name}`);
    this.used.add(name);
    return `L_${name.replace(/\W/g, '_')}`;
  }

  /** A pointer into a parameter, whose end is looked after where the offset is known. */
  parameter(operand, bytes) {
    const parameter = this.parameters.get(operand.base);
    if (parameter === undefined) return `reinterpret_cast<const void*>(${this.operands.memory(operand)})`;
    if (operand.offset < 0 || operand.offset + bytes > parameter.bytes)
      throw new Error('past the parameter’s end');
    return `static_cast<const char*>(parameters[${parameter.i}]) + ${operand.offset}`;
  }

  fileOf(number) {
    return basename(this.module.files.get(number) ?? '?');
  }

  /** What tells two calls apart, and where a person finds them. */
  site({ line, place }) {
    const source = place ? `${this.fileOf(place.outer.file)}:${place.outer.line}, ` : '';
    return `Site{${string(`${source}${this.ptxName}`)}, ${line}}`;
  }

  lineDirective(place) {
    const { inner, outer } = place;
    const file = this.fileOf(inner.file);
    const shown =
      inner === outer || (inner.file === outer.file && inner.line === outer.line)
        ? file
        : `${this.fileOf(outer.file)}:${outer.line} < ${file}`;
    return `#line ${inner.line} ${string(shown)}`;
  }

  declarations() {
    const byType = new Map();
    for (const [name, type] of this.kernel.registers) {
      if (!this.mentioned.has(name)) continue;
      const cpp = cppType(type);
      if (!byType.has(cpp)) byType.set(cpp, []);
      byType.get(cpp).push(Operands.identifier(name));
    }
    const start = { bool: 'true', float: 'ptx::kUnset', double: 'ptx::kUnset' }; // a NaN: nothing leans on what was never written
    return [...byType].map(([cpp, names]) => {
      const value = start[cpp] ?? `static_cast<${cpp}>(~0ull)`;
      return `  ${cpp} ${names.map((name) => `${name} = ${value}`).join(', ')};`;
    });
  }

  memory() {
    const lines = [];
    for (const { own, name, space, bytes, align, line } of this.variables) {
      const variable = KernelWriter.variable(own);
      if (space === 'shared' && bytes === 0)
        lines.push(`  const uint64_t ${variable} = ptx::dynamicSharedOffset();`);
      else if (space === 'shared')
        lines.push(
          `  static const char K_${variable} = 0;`,
          `  const uint64_t ${variable} = ptx::sharedOffset(&K_${variable}, ${bytes}, ${align});`,
        );
      else if (space === 'local')
        lines.push(
          `  alignas(${Math.max(align, 16)}) unsigned char ${variable}[${bytes}];`,
          `  ptx::beginLocal(${variable}, ${bytes});`,
        );
      else if (space === 'param') throw new PtxError(`a call with ${name}`, line, this.name);
    }
    return lines;
  }

  text() {
    const body = [];
    for (const statement of this.kernel.statements) {
      if (statement.kind === 'label') {
        body.push({ label: statement.name, text: `${`L_${statement.name.replace(/\W/g, '_')}`}:;` });
        continue;
      }
      if (statement.place) body.push({ text: this.lineDirective(statement.place) });
      body.push({ text: `  ${translate(statement, this)}` });
    }
    const kept = body
      .filter(({ label }) => label === undefined || this.used.has(label))
      .map(({ text }) => text);
    return [
      `#line ${this.kernel.line} ${string(this.ptxName)}`,
      `static void ${this.function}(const void* const* parameters) {`,
      '  static_cast<void>(parameters);',
      ...this.memory(),
      ...this.declarations(),
      ...kept,
      '}',
    ].join('\n');
  }
}

/** Tables of constants, which are the program's own memory in the emulator. */
function constants(module) {
  return module.variables
    .filter(({ space }) => space === 'const' || space === 'global')
    .map(({ own, type, values, bytes, align }) => {
      const cpp = type.startsWith('f') ? `uint${bitsOf(type)}_t` : cppType(type);
      const count = Math.max(1, bytes / (bitsOf(type) / 8));
      const list = (values ?? []).map((value) => (/^0[fd]/i.test(value) ? `0x${value.slice(2)}` : value));
      return `alignas(${align}) static ${cpp} ${KernelWriter.variable(own)}[${count}] = {${list.join(', ')}};`;
    });
}

/**
 * @param {ReturnType<import('./parse.mjs').parseModule>} module
 * @param {string} source the .cu file's name
 */
export function emitModule(module, source) {
  const ptxName = source.replace(/\.cu$/, '.ptx');
  const writers = module.kernels.map((kernel, i) => new KernelWriter(kernel, module, i, ptxName));
  const entries = writers.map(({ function: f, name, kernel }) => {
    const sizes = kernel.parameters.map(({ bytes }) => bytes).join(', ');
    return `    {${string(name)}, ${f}, {${sizes}}},`;
  });
  return [
    `// Made from ${ptxName} (${module.target}) by scripts/cuda/ptx-to-cpp.mjs.`,
    '#include "emulation/ptx.h"',
    '',
    'namespace {',
    'using namespace mlit::emulation;',
    'using mlit::emulation::ptx::bits;',
    ...constants(module),
    ...writers.map((writer) => writer.text()),
    '#line 1 "the table of kernels"',
    `const ptx::Translation translation(${string(source)}, {`,
    ...entries,
    '});',
    '}  // namespace',
    '',
  ].join('\n');
}
