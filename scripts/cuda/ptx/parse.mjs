// A PTX module as data: variables, kernels with their parameters, and each kernel's statements in order, with the place in the source
// that nvcc's .loc says they came from (PTX ISA, "Syntax" and "Directives").
import { Cursor, PtxError, tokenize } from './tokens.mjs';

const linkages = new Set(['.visible', '.extern', '.weak', '.common']);
const spaces = new Set(['.shared', '.global', '.const', '.local', '.param']);
/** Directives that change nothing of what a program computes, with how many numbers follow. */
const performance = new Set(['.maxntid', '.reqntid', '.minnctapersm', '.maxnreg', '.maxnctapersm']);

/** `.space [.align N] .type name[count][= {…}]`, the space taken already. */
function variable(cursor, space) {
  const { line } = cursor;
  let align = 1;
  let type;
  let vector = 1;
  while (cursor.next.kind === 'word' && cursor.next.text.startsWith('.')) {
    const word = cursor.take('word');
    if (word === '.align') align = cursor.integer();
    else if (word === '.v2' || word === '.v4') vector = Number(word[2]);
    else if (word === '.ptr')
      while (spaces.has(cursor.next.text)) cursor.at += 1; // of parameters: what they point to
    else if (type === undefined && /^\.[busf]\d+$/.test(word)) type = word.slice(1);
    else throw new PtxError(`unknown ${word} of a variable`, line);
  }
  if (type === undefined) throw new PtxError('a variable without type', line);
  const name = cursor.take('word');
  let count;
  if (cursor.accept('[')) {
    count = cursor.is(']') ? 0 : cursor.integer();
    cursor.expect(']');
  }
  const element = (Number(type.slice(1)) / 8) * vector;
  const made = { space, name, type, bytes: element * (count ?? 1), align: Math.max(align, element), line };
  if (!cursor.accept('=')) return made;
  made.values = [];
  const braces = cursor.accept('{');
  do {
    if (cursor.next.kind === 'word') throw new PtxError(`an address in ${name}`, cursor.line);
    const negative = cursor.accept('-') ? '-' : '';
    made.values.push(negative + cursor.take('number'));
  } while (braces && cursor.accept(','));
  if (braces) cursor.expect('}');
  return made;
}

function parameters(cursor) {
  const list = [];
  cursor.expect('(');
  while (!cursor.accept(')')) {
    cursor.expect('.param');
    list.push(variable(cursor, 'param'));
    cursor.accept(',');
  }
  return list;
}

/** Where statements come from: the innermost place, and the kernel's own line that it was inlined into. */
class Places {
  constructor() {
    this.parents = new Map();
    this.current = undefined;
  }

  take(tokens) {
    const [file, line, column, ...more] = tokens.filter(({ text }) => text !== ',').map(({ text }) => text);
    const key = `${file} ${line} ${column}`;
    const inlined = more.indexOf('inlined_at');
    const parent = inlined < 0 ? undefined : more.slice(inlined + 1, inlined + 4).join(' ');
    if (Number(line) === 0) return; // nvcc does not know
    this.parents.set(key, parent);
    let root = key;
    for (let steps = 0; this.parents.get(root) !== undefined && steps < 32; steps += 1)
      root = this.parents.get(root);
    this.current = { inner: this.place(key), outer: this.place(root) };
  }

  place(key) {
    const [file, line] = key.split(' ').map(Number);
    return { file, line };
  }
}

/** Names of registers, variables and labels of a block in braces hide those around it. */
class Scope {
  constructor() {
    this.levels = [new Map()];
    this.opened = 0;
  }

  open() {
    this.opened += 1;
    this.levels.push(new Map());
  }

  close() {
    this.levels.pop();
  }

  /** A register's or variable's own name in the flat list of them. */
  declare(name) {
    const own = this.levels.length === 1 ? name : `${name}_block${this.opened}`;
    this.levels.at(-1).set(name, own);
    return own;
  }

  resolve(name) {
    for (let i = this.levels.length - 1; i >= 0; i -= 1) {
      const own = this.levels[i].get(name);
      if (own !== undefined) return own;
    }
    return undefined;
  }
}

class Body {
  constructor(cursor) {
    this.cursor = cursor;
    this.scope = new Scope();
    this.places = new Places();
    this.registers = new Map(); // name to type
    this.variables = [];
    this.statements = [];
    this.tables = new Map(); // of labels, for brx.idx
  }

  parse() {
    const { cursor } = this;
    cursor.expect('{');
    for (let depth = 1; depth > 0; ) {
      if (cursor.next.kind === 'end') cursor.fail('a body without end');
      if (cursor.accept('{')) {
        depth += 1;
        this.scope.open();
      } else if (cursor.accept('}')) {
        depth -= 1;
        if (depth > 0) this.scope.close();
      } else this.statement();
    }
    return {
      registers: this.registers,
      variables: this.variables,
      statements: this.statements,
      tables: this.tables,
    };
  }

  statement() {
    const { cursor } = this;
    if (cursor.accept(';')) return;
    const { text, kind } = cursor.next;
    if (kind === 'word' && text.startsWith('.')) this.directive(cursor.take('word'));
    else if (kind === 'word' && cursor.tokens[cursor.at + 1].text === ':') this.label();
    else this.instruction();
  }

  label() {
    const { cursor } = this;
    const { line } = cursor;
    const name = cursor.take('word');
    cursor.expect(':');
    if (!cursor.accept('.branchtargets')) {
      this.statements.push({ kind: 'label', name, line });
      return;
    }
    const targets = [];
    do targets.push(cursor.take('word'));
    while (cursor.accept(','));
    cursor.expect(';');
    this.tables.set(name, targets);
  }

  directive(word) {
    const { cursor } = this;
    if (word === '.loc') this.places.take(cursor.restOfLine());
    else if (word === '.reg') this.declareRegisters();
    else if (word === '.pragma') {
      cursor.take('string');
      cursor.expect(';');
    } else if (spaces.has(word)) {
      const made = variable(cursor, word.slice(1));
      cursor.expect(';');
      this.variables.push({ ...made, own: this.scope.declare(made.name) });
    } else throw new PtxError(`unknown ${word}`, cursor.line);
  }

  declareRegisters() {
    const { cursor } = this;
    const type = cursor.take('word').slice(1);
    do {
      const name = cursor.take('word');
      if (cursor.accept('<')) {
        const count = cursor.integer();
        cursor.expect('>');
        for (let i = 0; i < count; i += 1) this.register(`${name}${i}`, type);
      } else this.register(name, type);
    } while (cursor.accept(','));
    cursor.expect(';');
  }

  register(name, type) {
    this.registers.set(this.scope.declare(name), type);
  }

  instruction() {
    const { cursor } = this;
    const { line } = cursor;
    let guard;
    if (cursor.accept('@')) {
      const negated = cursor.accept('!');
      guard = { negated, register: this.operand() };
    }
    const opcode = cursor.take('word');
    const operands = [];
    while (!cursor.accept(';')) {
      operands.push(this.operand());
      if (!cursor.is(';')) cursor.expect(',');
    }
    this.statements.push({ kind: 'instruction', opcode, operands, guard, line, place: this.places.current });
  }

  list(close) {
    const items = [];
    while (!this.cursor.accept(close)) {
      items.push(this.operand());
      if (!this.cursor.is(close)) this.cursor.expect(',');
    }
    return items;
  }

  operand() {
    const { cursor } = this;
    if (cursor.accept('{')) return { kind: 'vector', items: this.list('}') };
    if (cursor.accept('(')) return { kind: 'list', items: this.list(')') };
    if (cursor.accept('!')) return { kind: 'not', of: this.operand() };
    if (cursor.accept('[')) {
      const base = this.operand();
      cursor.expect(']');
      return base.kind === 'name' && base.offset === undefined
        ? { kind: 'memory', base: base.name, offset: 0 }
        : { kind: 'memory', base: base.name, offset: base.offset ?? Number(base.text) };
    }
    if (cursor.accept('-')) return { kind: 'number', text: `-${cursor.take('number')}` };
    if (cursor.next.kind === 'number') return { kind: 'number', text: cursor.take('number') };
    const name = this.name();
    if (cursor.accept('|')) return { kind: 'pair', first: name, second: this.operand() };
    if (!cursor.accept('+')) return name;
    return { ...name, offset: cursor.integer() };
  }

  name() {
    const word = this.cursor.take('word');
    return { kind: 'name', name: this.scope.resolve(word) ?? word };
  }
}

function kernel(cursor) {
  const { line } = cursor;
  const name = cursor.take('word');
  const list = parameters(cursor);
  while (cursor.next.text.startsWith('.')) {
    const word = cursor.take('word');
    if (!performance.has(word)) throw new PtxError(`unknown ${word} of a kernel`, cursor.line);
    do cursor.integer();
    while (cursor.accept(','));
  }
  return { name, line, parameters: list, ...new Body(cursor).parse() };
}

/** @returns {{ target: string, files: Map<number, string>, variables: object[], kernels: object[] }} */
export function parseModule(source) {
  const cursor = new Cursor(tokenize(source));
  const module = { target: '', files: new Map(), variables: [], kernels: [] };
  while (cursor.next.kind !== 'end') {
    const { line } = cursor;
    if (cursor.accept(';')) continue;
    const word = cursor.take('word');
    if (linkages.has(word)) continue;
    if (word === '.version' || word === '.address_size') cursor.restOfLine();
    else if (word === '.target') module.target = cursor.restOfLine()[0].text;
    else if (word === '.file') {
      const [number, name] = cursor.restOfLine();
      module.files.set(Number(number.text), name.text.slice(1, -1));
    } else if (word === '.section') {
      cursor.take('word');
      cursor.skipBlock();
    } else if (word === '.entry') module.kernels.push(kernel(cursor));
    else if (spaces.has(word)) {
      const made = variable(cursor, word.slice(1));
      cursor.expect(';');
      module.variables.push({ ...made, own: made.name });
    } else if (word === '.func')
      throw new PtxError(
        'a function that is called: kernels here are inlined whole, DEVICE makes them so',
        line,
      );
    else throw new PtxError(`unknown ${word}`, line);
  }
  return module;
}
