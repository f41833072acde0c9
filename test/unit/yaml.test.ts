// What is promised of YAML from anywhere: the values and the places of mistakes that the parser gives, and time that grows with the
// text, whatever stands in it.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Command } from 'commander';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { mergeConfig } from '../../lib/cli/common';
import { readRunsFile } from '../../lib/cli/runs-file';
import { readExperiment } from '../../lib/experiment/spec';
import { readMixtureSpec } from '../../lib/index';
import { parseYaml, toYaml } from '../../lib/text/yaml';
import { readRunRecord } from '../../lib/train/run-directory';
import { scratch } from '../support/fixtures';

const problem = (text: string): string => {
  try {
    return `no error, but ${JSON.stringify(parseYaml(text))}`;
  } catch (error) {
    expect(error).toBeInstanceOf(SyntaxError);
    return (error as Error).message;
  }
};
const lines = (count: number, line: (at: number) => string): string =>
  Array.from({ length: count }, (_, at) => line(at)).join('');

describe('a text in YAML', () => {
  it.each([
    ['', null],
    ['\uFEFF# so\r\na: 1\r\n...\r\n', { a: 1 }],
    [
      'a: 1\nb: [2, x, 3.5, true, ~, 0x10, "no", no]\nc:\n  d: >\n   e\n   f\n',
      { a: 1, b: [2, 'x', 3.5, true, null, 16, 'no', 'no'], c: { d: 'e f\n' } },
    ],
    ['{a: {}, b: [], c: , "d": !!str 1}', { a: {}, b: [], c: null, d: '1' }],
    ['1: a\nno: b\n1e3: c\n', { '1': 'a', no: 'b', '1e3': 'c' }],
    ['&k a: &x [1, {b: 2}]\nc: *x\nd: *k\n', { a: [1, { b: 2 }], c: [1, { b: 2 }], d: 'a' }],
    ['- &a 1\n- &b [*a]\n- &a 2\n- *b\n- *a\n', [1, [1], 2, [1], 2]],
  ])('stands for its value: %j', (text, value) => {
    expect(parseYaml(text)).toEqual(value);
  });

  it('may have a key called __proto__, which is one of its own', () => {
    expect(Object.entries(parseYaml('__proto__: {a: 1}') as object)).toEqual([['__proto__', { a: 1 }]]);
  });

  it('comes back as it was written, for readers of YAML 1.1 too', () => {
    const value = {
      no: 'no',
      a: 'x y '.repeat(60),
      b: [1, null, true, '1', '~', 'a: b', '\u{1b}[1m'],
      c: {},
    };
    expect(parseYaml(toYaml(value))).toEqual(value);
    expect(parse(toYaml(value, '1.1'), { version: '1.1' })).toEqual(value);
    expect(toYaml(value).split('\n')[1]).toBe(`a: "${'x y '.repeat(60)}"`);
  });

  it('is refused with the place, and the line it is in', () => {
    expect(problem('a: 1\nb: 2\n  c: 3\n')).toBe(
      'Nested mappings are not allowed in compact mappings at line 2, column 4:\n\nb: 2\n   ^\n',
    );
    expect(problem('a:\n  - 1\n b: 2\n')).toMatch(
      /^All mapping items must start at the same column at line 3, column 1:\n\n {2}- 1\n b: 2\n\^\n$/,
    );
    expect(problem(`a: ${'x '.repeat(200)}: y`)).toMatch(/ at line 1, column \d+:\n\n.{1,82}\n *\^\n$/);
    expect(problem('a: "\\q"\r\nb: 1')).toMatch(
      /^Invalid escape sequence \\q at line 1, column 5:\n\na: "\\q"\n {4}\^\n$/,
    );
  });

  it.each([
    ['a: 1\nb: 2\nb: 3', "'b' is given twice: in line 2, and again at line 3, column 1:"],
    ['x:\n  - {a: 1, "a": 2}', "'a' is given twice: in line 2, and again at line 2, column 12:"],
    ['1: a\n"1": b', "'1' is given twice: in line 1, and again at line 2, column 1:"],
    ['? [a]\n: 1', 'A key must be a text: no list, mapping, alias or tag at line 1, column 3:'],
    ['a: *b', "There is no anchor '&b' before this alias at line 1, column 4:"],
    ['a: 1\n---\nb: 2', 'A second document: a file has one here at line 2, column 1:'],
    ['a: !x 1', 'Unresolved tag: !x at line 1, column 4:'],
    ['a: !!set {b}', 'Unresolved tag: tag:yaml.org,2002:set at line 1, column 4:'],
    ['%YAML 1.1\n---\na: yes', 'YAML 1.2 is read here, not 1.1 at line 1, column 1:'],
    ['a: &a {b: *a}', 'Nested deeper than 128 levels at line 1, column 7:'],
    [
      '\na: [',
      'Flow sequence in block collection must be sufficiently indented and end with a ] at line 2, column 5:',
    ],
  ])('is refused where it could mean another thing: %j', (text, message) => {
    expect(problem(text)).toContain(`${message}\n`);
  });

  it('may be nested to a depth, counted through aliases', () => {
    expect(parseYaml('['.repeat(128) + ']'.repeat(128))).toEqual(
      JSON.parse('['.repeat(128) + ']'.repeat(128)),
    );
    // A million levels are refused before anything recurses over them, where they would end the process.
    for (const [open, close] of [
      ['[', ']'],
      ['{a: ', '}'],
      ['- ', ''],
      ['? ', ''], // each a key, which is no text either
    ] as const)
      for (const levels of [129, 3000, 1_000_000 / open.length])
        expect(problem(open.repeat(levels) + close.repeat(levels)), open).toMatch(
          /^(Nested deeper than 128 levels|A key must be a text.*) at line 1/,
        );
    expect(problem(lines(130, (at) => (at === 0 ? '- &a0 1\n' : `- &a${at} [*a${at - 1}]\n`)))).toMatch(
      /^Nested deeper/,
    );
  });

  it('is no bomb of aliases', () => {
    const bomb = lines(
      12,
      (at) =>
        `${at}: &a${at} [${Array(9)
          .fill(at === 0 ? 'x' : `*a${at - 1}`)
          .join()}]\n`,
    );
    expect(problem(bomb)).toMatch(/^Aliases repeat more than 100000 values at line \d+, column \d+:/);
  });

  it('may not be endless', () => {
    expect(problem(`a: ${'x'.repeat(2 ** 21)}`)).toBe(
      '2097155 characters are too many: at most 2097152 are read',
    );
    expect(problem(`[${'1,'.repeat(300_000)}]`)).toMatch(
      /^More than 500000 words and signs at line 1, column \d+/,
    );
  });
});

describe('the time for a text', () => {
  /** Of processor time, so that whatever else the machine does changes little. */
  const cost = (text: string): number => {
    const begun = process.cpuUsage();
    problem(text);
    const { user, system } = process.cpuUsage(begun);
    return user + system;
  };
  let list: number | undefined;
  // About as many words and signs each. Compared with one another, each of these takes over ten times as long as the list.
  it.each([
    ['keys', lines(20_000, (at) => `k${at}: 1\n`)],
    ['keys in braces', `{${lines(20_000, (at) => `k${at}: 1,`)}}`],
    ['aliases of as many anchors', lines(18_000, (at) => `- &a${at} 1\n- *a${at}\n`)],
    [
      'lists as keys, among anchors',
      `- [${lines(10_000, (at) => `&a${at} 1,`)}]\n- {${lines(10_000, (at) => `[${at}]: 1,`)}}`,
    ],
    ['mistakes in one line', `[${'"a" "b" '.repeat(20_000)}]`],
  ])('grows with its length: %s', (_, text) => {
    list ??= cost(lines(33_000, (at) => `- ${at}\n`));
    expect(cost(text) / list).toBeLessThan(5);
  });
});

describe('a file of ten thousand keys', () => {
  const folder = scratch();
  const file = (name: string, text: string): string => {
    writeFileSync(join(folder, name), text);
    return join(folder, name);
  };
  const keys = lines(10_000, (at) => `k${at}: 1\n`);
  const inside = keys.replaceAll(/^/gm, '  ').trimEnd();

  it.each<[string, () => Promise<unknown>]>([
    ['recipe', () => readMixtureSpec(file('mix.yaml', `kind: mono\nlanguage: en\n${keys}`))],
    [
      'recipe with wrong codes',
      () => readMixtureSpec(file('codes.yaml', `kind: explicit\ncounts:\n${inside}\n`)),
    ],
    [
      'experiment',
      () => readExperiment(file('e.yaml', `protocol: pinch\nmodel: m\ndata: d\neval: e\n${keys}`)),
    ],
    [
      'run.yaml',
      () => readRunRecord(join(file('run.yaml', `options:\n  model: m\n  data: [d]\n${inside}\n`), '..')),
    ],
    ['runs file', () => readRunsFile(file('runs.yaml', `runs: []\n${keys}`))],
    [
      '--config file',
      () =>
        mergeConfig(
          new Command().option('--config <file>').parse(['--config', file('c.yaml', keys)], { from: 'user' }),
        ),
    ],
  ])('is refused in a sentence: %s', async (_, read) => {
    const begun = process.cpuUsage();
    const error = await read().then(
      () => new Error('taken'),
      (thrown: Error) => thrown,
    );
    expect(error.message).toMatch(/k0/);
    expect(error.message.length).toBeLessThan(4000);
    expect(process.cpuUsage(begun).user / 1e6).toBeLessThan(15);
  });
});
