// Registers, numbers and addresses of PTX as C++ expressions. A register is a local variable of its declared type; an instruction
// reads and writes it as the instruction's type, as the ISA's "Operand Size Exceeding Instruction-Type Size" has it.
export const bitsOf = (type) => (type === 'pred' ? 1 : Number(/\d+/.exec(type)[0]));

/** The C++ type of values of a PTX type. */
export function cppType(type) {
  if (type === 'pred') return 'bool';
  if (type === 'f32') return 'float';
  if (type === 'f64') return 'double';
  const bits =
    type === 'bf16' || type === 'f16' ? 16 : type === 'bf16x2' || type === 'f16x2' ? 32 : bitsOf(type);
  if (![8, 16, 32, 64].includes(bits)) throw new Error(`type .${type}`);
  return `${type[0] === 's' ? '' : 'u'}int${bits}_t`;
}

const sizes = { bool: 1, float: 4, double: 8 };
const sizeOf = (cpp) => sizes[cpp] ?? Number(/\d+/.exec(cpp)[0]) / 8;
const isReal = (cpp) => cpp === 'float' || cpp === 'double';

const special = new Map();
for (const [i, axis] of ['x', 'y', 'z'].entries()) {
  special.set(`%tid.${axis}`, `threadIndex(${i})`);
  special.set(`%ntid.${axis}`, `blockSize(${i})`);
  special.set(`%ctaid.${axis}`, `blockIndex(${i})`);
  special.set(`%nctaid.${axis}`, `gridSize(${i})`);
}
special.set('%laneid', 'ptx::lane()');
special.set('WARP_SZ', '32u');

/** A bit pattern of a float, or an integer of either sign, as a value of a C++ type. */
export function literal(text, cpp) {
  if (/^0f/i.test(text)) return convert(`bits<float>(0x${text.slice(2)}u)`, 'float', cpp);
  if (/^0d/i.test(text)) return convert(`bits<double>(0x${text.slice(2)}ull)`, 'double', cpp);
  const negative = text.startsWith('-');
  const magnitude = BigInt(text.replace(/^-/, '').replace(/U$/, ''));
  if (cpp === 'bool') return magnitude === 0n ? 'false' : 'true';
  if (isReal(cpp)) throw new Error(`the integer ${text} as a ${cpp}`);
  const size = sizeOf(cpp);
  const value = BigInt.asUintN(size * 8, negative ? -magnitude : magnitude);
  return `static_cast<${cpp}>(0x${value.toString(16)}${size === 8 ? 'ull' : 'u'})`;
}

/** An expression of one C++ type as another: the same bits, or with `cut` the lower ones. */
function convert(expression, from, to, cut = false) {
  if (from === to) return expression;
  if (from === 'bool' || to === 'bool') throw new Error(`a ${from} as a ${to}`);
  if (isReal(from) || isReal(to)) {
    if (sizeOf(from) !== sizeOf(to)) throw new Error(`a ${from} as a ${to}`);
    return `bits<${to}>(${expression})`;
  }
  if (sizeOf(from) < sizeOf(to) || (sizeOf(from) > sizeOf(to) && !cut))
    throw new Error(`a ${from} as a ${to}`);
  return `static_cast<${to}>(${expression})`;
}

/** Operands of the instructions of one kernel. */
export class Operands {
  /**
   * @param {Map<string, string>} registers name to PTX type
   * @param {Map<string, { space: string, expression: string }>} symbols what names stand for in memory
   */
  constructor(registers, symbols) {
    this.registers = registers;
    this.symbols = symbols;
  }

  static identifier = (name) => `R_${name.replace(/\W/g, '_').replace(/^_/, '')}`;

  registerType(name) {
    const type = this.registers.get(name);
    return type === undefined ? undefined : cppType(type);
  }

  /** The address that a name, or a name and an offset, stands for: in the window of its space. */
  address(name, offset = 0) {
    const symbol = this.symbols.get(name);
    if (symbol === undefined) throw new Error(`unknown name ${name}`);
    return offset === 0 ? symbol.expression : `(${symbol.expression} + ${offset})`;
  }

  /** `cut`: the instruction is one of those that take the lower bits of a wider register. */
  read(operand, type, cut = false) {
    const cpp = cppType(type);
    if (operand.kind === 'number') return literal(operand.text, cpp);
    if (operand.kind === 'not' && cpp === 'bool') return `!${this.read(operand.of, type)}`;
    if (operand.kind !== 'name') throw new Error(`a ${operand.kind} where a value is expected`);
    const { name } = operand;
    const declared = this.registerType(name);
    if (declared !== undefined) return convert(Operands.identifier(name), declared, cpp, cut);
    if (special.has(name)) return convert(special.get(name), 'uint32_t', cpp, true);
    const address = this.address(name, operand.offset);
    return cpp === 'uint32_t' || cpp === 'uint64_t'
      ? `static_cast<${cpp}>(${address})`
      : convert(address, 'uint64_t', cpp);
  }

  /** A statement that writes a value of the type; wider registers are extended, by its sign where it has one. */
  write(operand, type, expression) {
    if (operand.kind === 'name' && operand.name === '_') return `static_cast<void>(${expression});`;
    if (operand.kind !== 'name') throw new Error(`a ${operand.kind} where a register is written`);
    const declared = this.registerType(operand.name);
    if (declared === undefined) throw new Error(`unknown register ${operand.name}`);
    const cpp = cppType(type);
    const target = Operands.identifier(operand.name);
    if (sizeOf(declared) > sizeOf(cpp) && !isReal(declared) && !isReal(cpp) && cpp !== 'bool')
      return `${target} = static_cast<${declared}>(${expression});`;
    return `${target} = ${convert(expression, cpp, declared)};`;
  }

  /** A memory operand's address as a 64-bit expression in its space's window. */
  memory(operand) {
    if (operand.kind !== 'memory') throw new Error(`a ${operand.kind} where an address is expected`);
    if (operand.base === undefined) return `uint64_t{${operand.offset}}`;
    const declared = this.registerType(operand.base);
    const base =
      declared === undefined
        ? this.address(operand.base)
        : convert(
            Operands.identifier(operand.base),
            declared,
            declared === 'uint32_t' ? 'uint32_t' : 'uint64_t',
          );
    const { offset } = operand;
    const wide = declared === 'uint32_t' ? 'uint32_t' : 'uint64_t';
    return offset === 0 ? base : `(${base} + static_cast<${wide}>(${offset}))`;
  }
}
