// One table in four forms: numbers rounded alike, and nothing in a label that could break its form.
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import type { ResultTable } from '../../lib/experiment/results';
import { describeResults, describeTable } from '../../lib/report/describe';
import { escapeMarkdown, stripMarkdown } from '../../lib/report/markdown';
import { formatCount, formatNumber } from '../../lib/report/numbers';
import { displayWidth, plainTable } from '../../lib/report/plain-table';
import { resultsJson } from '../../lib/report/results-json';
import { csvField, tableCsv } from '../../lib/report/table-csv';
import { escapeLatex, tableLatex } from '../../lib/report/table-latex';
import { tableMarkdown } from '../../lib/report/table-markdown';
import { writeReport } from '../../lib/report/write-report';
import { AWKWARD, results, table } from '../support/report-results';

const folder = await mkdtemp(join(tmpdir(), 'mlit-report-'));
afterAll(() => rm(folder, { recursive: true, force: true }));

describe('numbers', () => {
  it('rounds, with a true minus and thin spaces', () => {
    expect(formatNumber(43.25)).toBe('43.3');
    expect(formatNumber(-1.5, 2)).toBe('−1.50');
    expect(formatNumber(-0.04)).toBe('0.0');
    expect(formatNumber(4640, 0)).toBe('4640');
    expect(formatNumber(-162888.25, 1)).toBe('−162\u202f888.3');
    expect(formatCount(12345)).toBe('12\u202f345');
    expect(formatNumber(Number.NaN)).toBe('n/a');
  });
});

describe('Markdown', () => {
  it('has interval, n, seeds and marks', () => {
    expect(tableMarkdown(table)).toBe(`### Language match

| arm | language match (%, ↑, n = 617) | change (points, n = 40) |
| :-- | --: | --: |
| English\\_only | 43.2 [40.1, 46.3] | n/a |
| a "b" \\<c\\> &amp; d \\| e\\_f עברית | 50.0† [48.0, 52.0] | −1.23 [−1.73, −0.73]; −1.00, −1.50 |

After a semicolon: the value of each seed.

† not to be relied upon; the warnings say why.

Share of answers in the language of the prompt; *paired* bootstrap over \`parallel_id\`.
`);
  });

  it('says n once where it is one, and in the cell where it differs within a column', () => {
    const columns = [{ key: 'v', label: 'v', kind: 'number' as const }];
    const of = (...counts: number[]): string =>
      tableMarkdown({
        id: 't',
        title: 't',
        caption: '',
        columns,
        rows: counts.map((n) => ({ v: { value: 1, n } })),
      });
    expect(of(5, 5)).toContain('n = 5 in every cell.');
    expect(of(5, 6)).toContain('| 1.0, n = 5 |\n| 1.0, n = 6 |');
    expect(of(5, 6)).not.toContain('every cell');
  });

  it('keeps a text on its line and comes back from captions', () => {
    expect(escapeMarkdown('a\nb|c')).toBe('a b\\|c');
    expect(stripMarkdown('**A** *b* `c_d` [e](f) 2 * 3 * 4 \\_')).toBe('A b c_d e 2 * 3 * 4 _');
  });
});

describe('CSV', () => {
  it('has value, bounds and n apart', () => {
    expect(tableCsv(table).split('\r\n')).toEqual([
      'arm,match,match_low,match_high,match_n,match_grey,change,change_low,change_high,change_n,change_seeds',
      'English_only,43.21,40.11,46.31,617,0,,,,,',
      `"${AWKWARD.replaceAll('"', '""')}",50,48,52,617,1,-1.234,-1.734,-0.734,40,-1 -1.5`,
      '',
    ]);
  });

  it('is read back as it was written', () => {
    const cell = fc.oneof(
      fc.string({ unit: fc.constantFrom('"', ',', '\n', '\r', ' ', 'x', 'ש') }),
      fc.constant(null),
    );
    const number = fc.double({ noNaN: true, noDefaultInfinity: true });
    fc.assert(
      fc.property(fc.array(fc.tuple(cell, number)), (entries) => {
        const written: ResultTable = {
          ...table,
          columns: table.columns.slice(0, 2),
          rows: entries.map(([arm, value]) => ({ arm, match: { value, n: 3 } })),
        };
        const [header, ...rows] = parseCsv(tableCsv(written));
        expect(header).toEqual(['arm', 'match', 'match_low', 'match_high', 'match_n']);
        expect(rows.map((row) => [row[0], Number(row[1]), row[2], row[3], row[4]])).toEqual(
          entries.map(([arm, value]) => [arm ?? '', value === 0 ? 0 : value, '', '', '3']),
        );
      }),
    );
    expect(csvField('plain')).toBe('plain');
  });
});

/** RFC 4180 by a machine of its own, to judge the writer. */
function parseCsv(text: string): string[][] {
  const rows: string[][] = [];
  let row: string[] = [];
  let field = '';
  let quoted = false;
  for (let at = 0; at < text.length; at += 1) {
    const character = text[at]!;
    if (quoted) {
      if (character !== '"') field += character;
      else if (text[at + 1] === '"') {
        field += '"';
        at += 1;
      } else quoted = false;
    } else if (character === '"') quoted = true;
    else if (character === ',') {
      row.push(field);
      field = '';
    } else if (character === '\r' && text[at + 1] === '\n') {
      rows.push([...row, field]);
      row = [];
      field = '';
      at += 1;
    } else field += character;
  }
  expect([row, field, quoted]).toEqual([[], '', false]);
  return rows;
}

describe('LaTeX', () => {
  it('escapes what LaTeX would take for its own', () => {
    expect(escapeLatex('50 % of $x_1 & #2 {~^\\} −1 “a” ≥ 2\u202f000')).toBe(
      "50 \\% of \\$x\\_1 \\& \\#2 \\{\\textasciitilde{}\\textasciicircum{}\\textbackslash{}\\} $-$1 ``a'' $\\geq$ 2\\,000",
    );
    expect(escapeLatex('a-b]c')).toBe('a-b]c');
  });

  it('needs booktabs only', () => {
    expect(tableLatex({ ...table, rows: table.rows.slice(0, 1) })).toBe(`% needs \\usepackage{booktabs}
\\begin{table}[t]
\\centering
\\caption{Language match. Share of answers in the language of the prompt; paired bootstrap over parallel\\_id. n = 617 in every cell.}
\\label{tab:language-match}
\\begin{tabular}{lrr}
\\toprule
arm & language match (\\%, $\\uparrow$) & change (points) \\\\
\\midrule
English\\_only & 43.2 {\\scriptsize [40.1, 46.3]} & n/a \\\\
\\bottomrule
\\end{tabular}
\\end{table}
`);
  });
});

describe('the terminal', () => {
  it('aligns by what is seen', () => {
    expect(displayWidth('中文')).toBe(4);
    expect(displayWidth('e\u0301')).toBe(1);
    expect(
      plainTable(
        ['name', 'n'],
        [
          ['中', '1'],
          ['abc', '23'],
        ],
      ),
    ).toBe('name   n\n中     1\nabc   23');
  });

  it('prints tables, notes and warnings, and cuts long tables', () => {
    const text = describeResults(results);
    expect(text).toContain('e2-cldr: What does a pinch');
    expect(text).toMatch(/English_only +43\.2 \[40\.1, 46\.3\] +n\/a/);
    expect(text).toContain('! Identification finds');
    expect(text).not.toContain('also in the report');
    expect(describeResults(results, { tables: 0 })).toContain('also in the report:\n  Language match');
    const rows = Array.from({ length: 50 }, () => table.rows[0]!);
    expect(describeTable({ ...table, rows })).toContain('… and 10 more rows');
  });
});

describe('broad tables in the terminal', () => {
  const keys = ['ar', 'cs', 'en', 'zh'];
  const cell = { value: 43.21, low: 40, high: 46, n: 5, seeds: [43, 43.5] };
  const broad: ResultTable = {
    id: 'broad',
    title: 'Broad',
    caption: '',
    columns: [
      { key: 'arm', label: 'arm', kind: 'text' },
      ...keys.map((key) => ({
        key,
        label: `${key} by name`,
        kind: 'number' as const,
        unit: '%',
        better: 'higher' as const,
      })),
    ],
    rows: [{ arm: 'a', ...Object.fromEntries(keys.map((key) => [key, cell])) }],
  };

  it('say the unit once, and leave out seeds, then intervals', () => {
    const full = describeTable(broad, { width: 200 });
    expect(full).toContain('43.2 [40.0, 46.0]; 43.0, 43.5');
    expect(full).toContain('\nUnit: %; higher is better.\n');
    expect(full).not.toContain('(%');
    const some = describeTable(broad, { width: 90 });
    expect(some).toContain('43.2 [40.0, 46.0]  43.2');
    expect(some).not.toContain('semicolon');
    expect(describeTable(broad, { width: 60 })).toBe(
      `Broad
arm  ar by name  cs by name  en by name  zh by name
a          43.2        43.2        43.2        43.2
Unit: %; higher is better.
n = 5 in every cell.
Too broad here for intervals and n; the report has them.`,
    );
  });

  it('break long headers', () => {
    const columns = [
      broad.columns[0]!,
      { key: 'ar', label: 'a header of many words', kind: 'number' as const },
    ];
    const rows = [{ arm: 'a', ar: { value: 1, n: 1 } }];
    expect(describeTable({ ...broad, columns, rows })).toBe(
      'Broad\n     a header of\narm   many words\na            1.0\nn = 1 in every cell.',
    );
  });
});

describe('writeReport', () => {
  it('writes every form, equal bytes twice, and replaces a report', async () => {
    const place = join(folder, 'report');
    const paths = await writeReport(results, place);
    const read = async (): Promise<Buffer[]> => Promise.all(paths.map((path) => readFile(path)));
    const first = await read();
    const again = await writeReport(results, place, { files: new Map([['trackers/x', 'y']]) });
    expect(await read()).toEqual(first);
    expect(again.length).toBe(paths.length + 1);
    expect(await readdir(folder)).toEqual(['report']);
    expect(paths.map((path) => path.slice(place.length + 1))).toEqual([
      'figures/curve.svg',
      'figures/curve.vl.json',
      'figures/heat.svg',
      'figures/heat.vl.json',
      'figures/many-curves.svg',
      'figures/many-curves.vl.json',
      'figures/pairs.svg',
      'figures/pairs.vl.json',
      'figures/scatter.svg',
      'figures/scatter.vl.json',
      'report.html',
      'report.md',
      'results.json',
      'tables/language-match.csv',
      'tables/language-match.md',
      'tables/language-match.tex',
    ]);
    const report = await readFile(join(place, 'report.md'), 'utf8');
    for (const part of [
      '## Warnings\n\n- Identification finds',
      'conditional on these runs',
      'There are 2 seeds',
      'Corresponds in the paper to: Figure 1. Every number',
      '![Curve](figures/curve.svg)',
      `| data | train.jsonl | \`${'b'.repeat(64)}\` |`,
      `| pinch-10 | 0 | train \`${'d'.repeat(32)}\`, mix \`${'e'.repeat(32)}\` |`,
    ]) {
      expect(report).toContain(part);
    }
    expect(JSON.parse(await readFile(join(place, 'results.json'), 'utf8'))).toEqual(results);
  });

  it('orders keys, whatever order they came in', () => {
    const { experiment, ...rest } = results;
    expect(resultsJson({ ...rest, experiment })).toBe(resultsJson(results));
  });

  it('leaves a folder alone that is no report', async () => {
    const place = join(folder, 'mine');
    await mkdir(place);
    await writeFile(join(place, 'thesis.doc'), 'words');
    await expect(writeReport(results, place)).rejects.toMatchObject({ code: 'FILE_IO' });
    await expect(writeReport(results, join(place, 'thesis.doc', 'x'))).rejects.toMatchObject({
      code: 'FILE_IO',
    });
    expect(await readdir(place)).toEqual(['thesis.doc']);
  });

  it('clears what killed writers left, not what living ones write', async () => {
    const place = join(folder, 'kept');
    await mkdir(`${place}.part-4194999`);
    await mkdir(`${place}.part-${process.ppid}`);
    await writeReport(results, place);
    const left = (await readdir(folder)).filter((entry) => entry.startsWith('kept'));
    expect(left).toEqual(['kept', `kept.part-${process.ppid}`]);
  });

  it('refuses results that contradict themselves', async () => {
    const place = join(folder, 'bad');
    const bad = (change: Partial<ResultTable>): Promise<unknown> =>
      writeReport({ ...results, tables: [{ ...table, ...change }] }, place);
    await expect(bad({ id: '../x' })).rejects.toThrow("tables: id '../x'");
    await expect(bad({ rows: [{ arm: 'a', other: null }] })).rejects.toThrow(
      "row 1, column 'other': the table has no",
    );
    await expect(bad({ rows: [{ match: { value: Number.NaN, n: 1 } }] })).rejects.toThrow(
      'expected a finite number',
    );
    await expect(bad({ columns: [table.columns[0]!, table.columns[0]!] })).rejects.toThrow(
      'two columns have one key',
    );
    await expect(writeReport({ ...results, tables: [table, table] }, place)).rejects.toThrow(
      'two have the id',
    );
    const figure = {
      ...results.figures[4]!,
      points: [{ label: 'x', x: Number.POSITIVE_INFINITY, y: { value: 1, n: 1 } }],
    };
    await expect(writeReport({ ...results, figures: [figure as never] }, place)).rejects.toThrow(
      'figure scatter',
    );
  });
});
