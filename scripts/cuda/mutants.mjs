// One-token mistakes of a kernel's source: the operators, constants, barriers and waits that a hand may get wrong. A pure function of the
// text, so that a run can be sampled, interrupted and told again.
import { createHash } from 'node:crypto';

/** What may stand in a token's place. Binary operators stand between spaces (clang-format), brackets of templates do not. */
const OPERATORS = {
  '+': ['-'],
  '-': ['+'],
  '*': ['+'],
  '/': ['*'],
  '%': ['/'],
  '<': ['<=', '>'],
  '<=': ['<'],
  '>': ['>=', '<'],
  '>=': ['>'],
  '==': ['!='],
  '!=': ['=='],
  '&&': ['||'],
  '||': ['&&'],
  '&': ['|'],
  '|': ['&'],
  '^': ['&'],
  '<<': ['>>'],
  '>>': ['<<'],
  '+=': ['=', '-='],
  '-=': ['+='],
  '*=': ['+='],
  '/=': ['*='],
};
const WORDS = {
  true: ['false'],
  false: ['true'],
  min: ['max'],
  max: ['min'],
  fminf: ['fmaxf'],
  fmaxf: ['fminf'],
};
/** Statements whose absence a reader hardly sees. */
const DROPPED = /^(__syncthreads|__syncwarp|cpAsyncCommit|cpAsyncWait<[^>]*>)\(\);/;

const TOKEN =
  /"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)+'|\b0x[0-9a-fA-F]+[uUlL]*|\b\d+\.?\d*(?:e[+-]?\d+)?[fFuUlL]*|[A-Za-z_]\w*|<<=|>>=|[-+*/%&|^<>=!]=|&&|\|\||<<|>>|->|::|\+\+|--|[-+*/%&|^<>=!~?:;,.(){}[\]]/g;

/** The neighbours of a number, in its own spelling. */
function neighbours(text) {
  const [, digits, suffix] = /^(0x[0-9a-fA-F]+|\d+\.?\d*(?:e[+-]?\d+)?)([fFuUlL]*)$/.exec(text) ?? [];
  if (digits === undefined) return [];
  if (digits.startsWith('0x')) {
    const value = BigInt(digits);
    return [`0x${(value ^ 1n).toString(16)}${suffix}`];
  }
  if (/[.e]/.test(digits) || /f/i.test(suffix)) {
    const value = Number(digits);
    const other = value === 0 ? '1.0' : String(value * 1.5);
    return [`${/[.e]/.test(other) ? other : `${other}.0`}${suffix}`];
  }
  const value = Number(digits);
  return value === 0 ? [`1${suffix}`] : [`${value + 1}${suffix}`, `${value - 1}${suffix}`];
}

/** Blanks comments, keeping every column: what stands in them is no code. */
function withoutComments(source) {
  return source.replace(/\/\*[\s\S]*?\*\/|\/\/[^\n]*/g, (comment) => comment.replace(/[^\n]/g, ' '));
}

/** Whether a token at [at, end) of the line is an operator between two operands. */
const isBinary = (line, at, end) => line[at - 1] === ' ' && /\S/.test(line.slice(0, at)) && line[end] === ' ';

function replacements(line, text, at) {
  if (Object.hasOwn(OPERATORS, text)) return isBinary(line, at, at + text.length) ? OPERATORS[text] : [];
  if (Object.hasOwn(WORDS, text)) return WORDS[text];
  if (text === '!') return [''];
  if (/^\d/.test(text)) return neighbours(text);
  return [];
}

/**
 * Every mutant of a source: its line (from 1), the line's text and what becomes of it.
 * @returns {{ line: number, text: string, mutated: string, key: string }[]}
 */
export function mutantsOf(file, source) {
  const mutants = [];
  const original = source.split('\n');
  const seen = new Map();
  withoutComments(source)
    .split('\n')
    .forEach((code, index) => {
      // Errors' texts, and hints that only ptxas takes.
      if (/^\s*(#|$)|static_assert|__launch_bounds__|throw |refuse|"[a-z]/.test(code)) return;
      const add = (at, length, becomes) => {
        const text = original[index];
        const mutated = text.slice(0, at) + becomes + text.slice(at + length);
        // The same line may stand twice in a file.
        const shown = `${file}\0${text.trim()}\0${mutated.trim()}`;
        const nth = seen.get(shown) ?? 0;
        seen.set(shown, nth + 1);
        const key = createHash('sha256').update(`${shown}\0${nth}`).digest('hex').slice(0, 12);
        mutants.push({
          file,
          line: index + 1,
          text: text.trim(),
          mutated: mutated.trim(),
          key,
          whole: mutated,
        });
      };
      const start = code.search(/\S/);
      const dropped = DROPPED.exec(code.slice(start));
      if (dropped !== null) add(start, dropped[0].length, ';');
      for (const match of code.matchAll(TOKEN)) {
        for (const becomes of replacements(code, match[0], match.index))
          add(match.index, match[0].length, becomes);
      }
    });
  return mutants;
}

/** The source with a mutant in it. */
export function applied(source, mutant) {
  const lines = source.split('\n');
  lines[mutant.line - 1] = mutant.whole;
  return lines.join('\n');
}

/** `count` of them, the files by turns, drawn from the seed; all of them without a count. */
export function sampled(mutants, seed, count = mutants.length) {
  const rank = (mutant) => createHash('sha256').update(`${seed}\0${mutant.key}`).digest('hex');
  const byFile = new Map();
  for (const mutant of mutants) byFile.set(mutant.file, [...(byFile.get(mutant.file) ?? []), mutant]);
  const queues = [...byFile.values()].map((all) =>
    all.map((mutant) => ({ mutant, rank: rank(mutant) })).sort((a, b) => (a.rank < b.rank ? -1 : 1)),
  );
  const chosen = [];
  for (let turn = 0; chosen.length < count && queues.some((queue) => turn < queue.length); turn++) {
    for (const queue of queues) {
      if (turn < queue.length && chosen.length < count) chosen.push(queue[turn].mutant);
    }
  }
  return chosen;
}
