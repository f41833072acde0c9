// One instruction on its way to C++: its modifiers, each of which must be taken by whoever translates it, and its operands.
import { arithmetic } from './arithmetic.mjs';
import { machine } from './machine.mjs';
import { cppType } from './operands.mjs';
import { PtxError } from './tokens.mjs';

const translations = new Map(Object.entries({ ...arithmetic, ...machine }));

class Instruction {
  /** @param {{ operands: import('./operands.mjs').Operands, site: (statement: object) => string, label: (name: string) => string, parameter: Function, tables: Map<string, string[]> }} kernel */
  constructor(statement, kernel) {
    [this.base, ...this.modifiers] = statement.opcode.split('.');
    this.statement = statement;
    this.operands = statement.operands;
    this.kernel = kernel;
  }

  /** Takes the last modifier, a type. */
  type() {
    const type = this.modifiers.pop();
    if (type === undefined || !/^([bus]\d+|f\d+(x2)?|bf16(x2)?|pred)$/.test(type))
      throw new Error('a type is missing');
    return type;
  }

  first() {
    return this.modifiers.shift();
  }

  has(modifier) {
    const at = this.modifiers.indexOf(modifier);
    if (at >= 0) this.modifiers.splice(at, 1);
    return at >= 0;
  }

  need(modifier) {
    if (!this.has(modifier)) throw new Error(`.${modifier} is missing`);
  }

  /** Takes the one of these that is there; undefined among them: there may be none. */
  oneOf(...modifiers) {
    const found = modifiers.find((modifier) => modifier !== undefined && this.has(modifier));
    if (found === undefined && !modifiers.includes(undefined))
      throw new Error(`none of .${modifiers.join(', .')}`);
    return found;
  }

  drop(which) {
    this.modifiers = this.modifiers.filter((modifier) => !which(modifier));
  }

  takeAll() {
    return this.modifiers.splice(0).join('.');
  }

  operand(i) {
    if (this.operands[i] === undefined) throw new Error(`operand ${i + 1} is missing`);
    return this.operands[i];
  }

  read(i, type) {
    return this.readFrom(this.operand(i), type);
  }

  readFrom(operand, type, cut = false) {
    return this.kernel.operands.read(operand, type, cut);
  }

  write(i, type, expression) {
    return this.writeTo(this.operand(i), type, expression);
  }

  writeTo(operand, type, expression) {
    return this.kernel.operands.write(operand, type, expression);
  }

  memory(i) {
    return this.kernel.operands.memory(this.operand(i));
  }

  /** An unsigned value as a type of the same size, and back. */
  cast(expression, from, type) {
    const to = cppType(type);
    if (from === to) return expression;
    if (from.startsWith('uint') && to.includes('int')) return `static_cast<${to}>(${expression})`;
    if (!to.includes('int') || !from.includes('int')) return `bits<${to}>(${expression})`;
    return `static_cast<${to}>(${expression})`;
  }

  site() {
    return this.kernel.site(this.statement);
  }

  label(operand) {
    return this.kernel.label(operand.name);
  }

  parameter(operand, bytes) {
    return this.kernel.parameter(operand, bytes);
  }

  table(operand) {
    const targets = this.kernel.tables.get(operand.name);
    if (targets === undefined) throw new Error(`unknown table ${operand.name}`);
    return targets.map((name) => this.kernel.label(name));
  }
}

/** The C++ statement of a PTX instruction. */
export function translate(statement, kernel) {
  const x = new Instruction(statement, kernel);
  const f = translations.get(x.base);
  try {
    if (f === undefined) throw new Error('unknown instruction');
    const text = f(x);
    if (x.modifiers.length > 0) throw new Error(`unknown .${x.modifiers.join('.')}`);
    if (statement.guard === undefined) return text;
    const condition = kernel.operands.read(statement.guard.register, 'pred');
    return `if (${statement.guard.negated ? '!' : ''}${condition}) { ${text} }`;
  } catch (error) {
    throw new PtxError(`${statement.opcode}: ${error.message}`, statement.line, kernel.name);
  }
}
