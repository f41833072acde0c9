// PTX in pieces: words (opcodes with their dots, registers, directives), numbers, strings, punctuation, each with its line.

/** What is wrong with a PTX file, by line: nothing is ever translated in part. */
export class PtxError extends Error {
  constructor(message, line, where = '') {
    super(`line ${line}${where === '' ? '' : ` (${where})`}: ${message}`);
    this.line = line;
  }
}

const token =
  /\s+|\/\/[^\n]*|\/\*[\s\S]*?\*\/|(?<string>"[^"\n]*")|(?<number>0[fF][\da-fA-F]{8}|0[dD][\da-fA-F]{16}|0[xX][\da-fA-F]+U?|\d+U?)(?![\w$])|(?<word>[%.$_A-Za-z][\w$]*(?:\.[\w$]+(?:::[\w$]+)*)*)|(?<mark>[()[\]{}<>,;:|@!+\-=*])/y;

/** @returns {{ kind: 'string' | 'number' | 'word' | 'mark' | 'end', text: string, line: number }[]} */
export function tokenize(source) {
  const tokens = [];
  let line = 1;
  token.lastIndex = 0;
  while (token.lastIndex < source.length) {
    const from = token.lastIndex;
    const match = token.exec(source);
    if (!match) throw new PtxError(`${JSON.stringify(source.slice(from, from + 20))} is no PTX`, line);
    for (const kind of ['string', 'number', 'word', 'mark']) {
      const text = match.groups[kind];
      if (text !== undefined) tokens.push({ kind, text, line });
    }
    for (const character of match[0]) if (character === '\n') line += 1;
  }
  tokens.push({ kind: 'end', text: '', line });
  return tokens;
}

/** Tokens with a place among them. */
export class Cursor {
  constructor(tokens) {
    this.tokens = tokens;
    this.at = 0;
  }

  get next() {
    return this.tokens[this.at];
  }

  get line() {
    return this.next.line;
  }

  fail(message) {
    throw new PtxError(message, this.line);
  }

  is(text) {
    return this.next.text === text && this.next.kind !== 'string';
  }

  accept(text) {
    if (!this.is(text)) return false;
    this.at += 1;
    return true;
  }

  expect(text) {
    if (!this.accept(text)) this.fail(`expected ${text}, found ${this.next.text || 'the end'}`);
  }

  take(kind) {
    if (this.next.kind !== kind) this.fail(`expected a ${kind}, found ${this.next.text || 'the end'}`);
    this.at += 1;
    return this.tokens[this.at - 1].text;
  }

  /** An integer of a directive. */
  integer() {
    const negative = this.accept('-');
    const value = Number(this.take('number').replace(/U$/, ''));
    return negative ? -value : value;
  }

  /** The rest of this line: .version, .file and .loc end with it. */
  restOfLine() {
    const { line } = this.tokens[this.at - 1];
    const rest = [];
    while (this.next.kind !== 'end' && this.line === line) {
      rest.push(this.next);
      this.at += 1;
    }
    return rest;
  }

  /** Past a block in braces. */
  skipBlock() {
    this.expect('{');
    for (let depth = 1; depth > 0; this.at += 1) {
      if (this.next.kind === 'end') this.fail('a block without end');
      if (this.is('{')) depth += 1;
      if (this.is('}')) depth -= 1;
    }
  }
}
