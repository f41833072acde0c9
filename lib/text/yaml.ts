// YAML from anywhere, in time that grows with the text: the parser's own search for keys that stand twice compares each with each,
// as its aliases and its error messages do, so that a file of a megabyte could take minutes to refuse.
import { Composer, isAlias, isMap, isSeq, Lexer, type Pair, Parser, type Scalar, stringify } from 'yaml';
import { LEVELS, shortened } from '../native/untrusted';

type Token = Parameters<Composer['compose']>[0] extends Iterable<infer Each> ? Each : never;

/** Characters, and words and signs among them: more than any file that is meant well has, and few enough for seconds. */
const LONGEST = 2 * 1024 * 1024;
const MOST_LEXEMES = 500_000;

/** How many values may stand in a file by aliases, each counted as often as it is repeated. */
const MOST_REPEATED = 100_000;

/**
 * The value that a text in YAML 1.2 stands for: one document, whose keys are texts and whose tags are those of the core schema.
 *
 * @throws SyntaxError naming line and column, where it is no such text, a key is given twice, it is nested deeper than
 * {@link LEVELS} levels, its aliases repeat more than {@link MOST_REPEATED} values, or it is longer than {@link LONGEST} characters
 * or {@link MOST_LEXEMES} words and signs
 */
export function parseYaml(text: string): unknown {
  if (text.length > LONGEST)
    throw new SyntaxError(`${text.length} characters are too many: at most ${LONGEST} are read`);
  const composer = new Composer({
    resolveKnownTags: false,
    schema: 'core',
    stringKeys: true,
    uniqueKeys: false,
  });
  const [document, second] = composer.compose(tokensOf(text), true, text.length);
  const { contents, errors, warnings, directives } = document!;
  const problem = errors[0] ?? warnings[0];
  if (problem) throw errorAt(text, problem.pos[0], OWN_WORDS[problem.code] ?? problem.message);
  if (second) throw errorAt(text, second.range[0], 'A second document: a file has one here');
  if (directives.yaml.version !== '1.2') throw errorAt(text, 0, 'YAML 1.2 is read here, not 1.1');
  return new Values(text).of(contents, LEVELS);
}

/** Refuses before the tree is built what that would recurse over until the stack ends, which may end the process. */
function* tokensOf(text: string): Generator<Token, void> {
  const parser = new Parser();
  let lexemes = 0;
  for (const lexeme of new Lexer().lex(text)) {
    yield* parser.next(lexeme);
    lexemes += 1;
    if (lexemes > MOST_LEXEMES)
      throw errorAt(text, parser.offset, `More than ${MOST_LEXEMES} words and signs`);
    // The document, its collections and a scalar.
    if (parser.stack.length > LEVELS + 2) throw errorAt(text, parser.offset, TOO_DEEP);
  }
  yield* parser.end();
}

const TOO_DEEP = `Nested deeper than ${LEVELS} levels`;

/** What the parser says in terms of its own options. */
const OWN_WORDS: Readonly<Record<string, string>> = {
  NON_STRING_KEY: 'A key must be a text: no list, mapping, alias or tag',
};

/** A value as a file in YAML, each text on one line. @param version `1.1` for readers to whom the text `no` is false. Default 1.2 */
export function toYaml(value: unknown, version: '1.1' | '1.2' = '1.2'): string {
  return stringify(value, { lineWidth: 0, version });
}

/** Nodes to values. An alias is read as what it stands for, once more. */
class Values {
  readonly #text: string;
  readonly #anchors = new Map<string, unknown>();
  /** What each alias stands for: the last node of that name before it, also where it is read again under a later one. */
  readonly #targets = new Map<unknown, unknown>();
  #repeating = false;
  #repeated = 0;

  constructor(text: string) {
    this.#text = text;
  }

  /** @param levels how deep lists and mappings may be nested in it */
  of(node: unknown, levels: number): unknown {
    if (this.#repeating) this.#repeated += 1;
    if (isAlias(node)) return this.#repeat(node, node.source, levels);
    const { anchor, range } = (node ?? {}) as Scalar.Parsed;
    if (anchor !== undefined && !this.#repeating) this.#anchors.set(anchor, node);
    if (!isMap(node) && !isSeq(node)) return (node as Scalar | null)?.value ?? null;
    if (levels === 0) throw errorAt(this.#text, range[0], TOO_DEEP);
    if (isSeq(node)) return node.items.map((item) => this.of(item, levels - 1));
    return this.#mapping(node.items, levels - 1);
  }

  #mapping(pairs: readonly Pair[], levels: number): Record<string, unknown> {
    const places = new Map<string, number>();
    const entries = pairs.map(({ key, value }) => {
      const { value: name, range, anchor } = key as Scalar.Parsed & { value: string };
      if (anchor !== undefined && !this.#repeating) this.#anchors.set(anchor, key);
      const first = places.get(name);
      if (first !== undefined)
        throw errorAt(
          this.#text,
          range[0],
          `'${shortened(name)}' is given twice: in line ${lineOf(this.#text, first)}, and again`,
        );
      places.set(name, range[0]);
      return [name, this.of(value, levels)] as const;
    });
    return Object.fromEntries(entries);
  }

  #repeat(alias: { range?: readonly number[] | null | undefined }, name: string, levels: number): unknown {
    const at = alias.range?.[0] ?? 0;
    if (!this.#targets.has(alias)) this.#targets.set(alias, this.#anchors.get(name));
    const target = this.#targets.get(alias);
    if (target === undefined)
      throw errorAt(this.#text, at, `There is no anchor '&${shortened(name)}' before this alias`);
    if (this.#repeated > MOST_REPEATED)
      throw errorAt(this.#text, at, `Aliases repeat more than ${MOST_REPEATED} values`);
    const outer = this.#repeating;
    this.#repeating = true;
    try {
      return this.of(target, levels);
    } finally {
      this.#repeating = outer;
    }
  }
}

function lineOf(text: string, offset: number): number {
  return text.slice(0, offset).split('\n').length;
}

/** `what at line 3, column 5:`, and the line with a mark under its place; where that is the line's first word, also the line before. */
function errorAt(text: string, offset: number, what: string): SyntaxError {
  const lines = text.slice(0, offset).split('\n');
  const line = lines.at(-1) as string;
  const before = line.slice(-40);
  const [after = ''] = text.slice(offset, offset + 80 - before.length).split(/\r?\n/, 1);
  const cut = before.length < line.length ? '…' : '';
  const above =
    line.trim() === '' && lines.length > 1 ? `${(lines.at(-2) as string).slice(0, 80).trimEnd()}\n` : '';
  const mark = `${' '.repeat(cut.length + before.length)}^`;
  return new SyntaxError(
    `${what} at line ${lines.length}, column ${line.length + 1}:\n\n${above}${cut}${before}${after}\n${mark}\n`,
  );
}
