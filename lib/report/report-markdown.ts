// The page that a person reads: what was asked, what has to be known before the numbers, the numbers, and of what they are.
import type { ExperimentResults } from '../experiment/results';
import { correspondence, greyNote } from './charts/frame';
import { escapeMarkdown } from './markdown';
import { readingNotes } from './reading';
import { tableBody } from './table-markdown';

/** The report's Markdown; it links to `figures/` and `tables/` beside it. Ends in a line feed. */
export function reportMarkdown(results: ExperimentResults): string {
  const blocks = [
    `# ${escapeMarkdown(results.experiment)}`,
    results.question.trim(),
    ...(results.warnings.length === 0 ? [] : ['## Warnings', list(results.warnings)]),
    '## Set-up',
    setUp(results),
    '## How to read the numbers',
    list(readingNotes(results)),
    ...(results.figures.length === 0 ? [] : ['## Figures', ...results.figures.map(figureSection)]),
    ...(results.tables.length === 0 ? [] : ['## Tables', ...results.tables.map(tableSection)]),
    '## Provenance',
    ...provenance(results),
  ];
  return `${blocks.join('\n\n')}\n`;
}

const list = (sentences: readonly string[]): string =>
  sentences.map((sentence) => `- ${sentence.trim().replace(/\s*\n\s*/g, ' ')}`).join('\n');

/** What a store has not recorded is said to be missing, not shown as nothing. */
const NOT_RECORDED = 'not recorded';

const code = (text: string): string =>
  text === '' ? NOT_RECORDED : `\`${text.replaceAll('`', "'").replace(/\s*\n\s*/g, ' ')}\``;

function rows(header: readonly string[], lines: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [line(header), line(header.map(() => ':--')), ...lines.map(line)].join('\n');
}

function setUp({ protocol, provenance }: ExperimentResults): string {
  const options = (values: Readonly<Record<string, unknown>>): string =>
    Object.entries(values)
      .filter(([, value]) => value !== undefined)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, value]) => `${escapeMarkdown(key)} ${escapeMarkdown(plain(value))}`)
      .join(', ');
  return rows(
    ['what', ''],
    [
      ['protocol', escapeMarkdown(protocol)],
      ['model', escapeMarkdown(provenance.model)],
      ['seeds', provenance.seeds.join(', ')],
      ['training', options(provenance.train)],
      ['sampling', options(provenance.sample)],
      ['mlit-native', escapeMarkdown(provenance.version)],
      ['machine', escapeMarkdown(provenance.machine || NOT_RECORDED)],
    ],
  );
}

const plain = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value));

function figureSection(figure: ExperimentResults['figures'][number]): string {
  const { id, title, caption, paper } = figure;
  return [
    `### ${escapeMarkdown(title)}`,
    `![${escapeMarkdown(title)}](figures/${id}.svg)`,
    ...[`${caption.trim()} ${greyNote(figure)}`.trim()].filter((text) => text !== ''),
    `${paper === undefined ? '' : `${escapeMarkdown(correspondence(paper))} `}Specification: [${id}.vl.json](figures/${id}.vl.json).`,
  ].join('\n\n');
}

function tableSection(table: ExperimentResults['tables'][number]): string {
  const { id, title, caption } = table;
  const files = ['md', 'csv', 'tex'].map((form) => `[${form}](tables/${id}.${form})`).join(', ');
  return [
    `### ${escapeMarkdown(title)}`,
    tableBody(table).trimEnd(),
    ...(caption.trim() === '' ? [] : [caption.trim()]),
    `Files: ${files}.`,
  ].join('\n\n');
}

function provenance({ provenance }: ExperimentResults): string[] {
  const files = [
    ['model', escapeMarkdown(provenance.model), code(provenance.modelSha256)],
    ...provenance.data.map(({ file, sha256 }) => ['data', escapeMarkdown(file), code(sha256)]),
    ...provenance.eval.map(({ file, sha256 }) => ['evaluation', escapeMarkdown(file), code(sha256)]),
  ];
  const models = Object.entries(provenance.jobs).flatMap(([arm, seeds]) =>
    Object.entries(seeds).map(([seed, jobs]) => [
      escapeMarkdown(arm),
      seed,
      Object.entries(jobs)
        .map(([kind, hash]) => `${escapeMarkdown(kind)} ${code(hash)}`)
        .join(', '),
    ]),
  );
  return [
    'Equal hashes are equal inputs: jobs are named by everything that goes into them.',
    rows(['what', 'file', 'SHA-256'], files),
    ...(models.length === 0 ? [] : [rows(['arm', 'seed', 'jobs'], models)]),
    'All of it, unrounded, is in [results.json](results.json).',
  ];
}
