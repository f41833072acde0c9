// Tables for a paper: booktabs and no package beside it.
import type { ResultTable } from '../experiment/results';
import { type CellParts, GREY_MARK, layoutTable } from './layout';
import { stripMarkdown } from './markdown';
import { NOT_APPLICABLE } from './numbers';

const SPECIAL: Readonly<Record<string, string>> = {
  '\\': '\\textbackslash{}',
  '{': '\\{',
  '}': '\\}',
  $: '\\$',
  '&': '\\&',
  '#': '\\#',
  '%': '\\%',
  _: '\\_',
  '~': '\\textasciitilde{}',
  '^': '\\textasciicircum{}',
  '<': '$<$',
  '>': '$>$',
  '|': '$|$',
  '"': "''",
  '\u2212': '$-$',
  '–': '--',
  '—': '---',
  '“': '``',
  '”': "''",
  '‘': '`',
  '’': "'",
  '…': '\\ldots{}',
  '×': '$\\times$',
  '±': '$\\pm$',
  '≤': '$\\leq$',
  '≥': '$\\geq$',
  '≈': '$\\approx$',
  '·': '$\\cdot$',
  '→': '$\\rightarrow$',
  '↑': '$\\uparrow$',
  '↓': '$\\downarrow$',
  Δ: '$\\Delta$',
  Σ: '$\\Sigma$',
  β: '$\\beta$',
  '†': '$^{\\dagger}$',
  '\u00a0': '~',
  '\u2009': '\\,',
  '\u202f': '\\,',
};
const PATTERN = new RegExp(
  `[${Object.keys(SPECIAL)
    .join('')
    .replace(/[\\\]^-]/g, '\\$&')}]`,
  'gu',
);

/** Text that LaTeX takes as it stands. Letters of other scripts stay: they need an engine and a font that have them. */
export function escapeLatex(text: string): string {
  return text.replace(/\s*[\r\n]+\s*/g, ' ').replace(PATTERN, (character) => SPECIAL[character]!);
}

/** A whole `table` environment with caption and label `tab:ID`; intervals small behind the number. */
export function tableLatex(table: ResultTable): string {
  const layout = layoutTable(table);
  const line = (cells: readonly string[]): string => `${cells.join(' & ')} \\\\`;
  const caption = [`${table.title}.`, stripMarkdown(table.caption), ...layout.notes].join(' ');
  return [
    '% needs \\usepackage{booktabs}',
    '\\begin{table}[t]',
    '\\centering',
    `\\caption{${escapeLatex(caption.replace(/([.!?])\./g, '$1'))}}`,
    `\\label{tab:${table.id.replace(/[^\w.-]/g, '-')}}`,
    `\\begin{tabular}{${layout.columns.map((_, column) => (layout.isNumber(column) ? 'r' : 'l')).join('')}}`,
    '\\toprule',
    line(layout.headers.map(escapeLatex)),
    '\\midrule',
    ...layout.rows.map((row) => line(row.map(cell))),
    '\\bottomrule',
    '\\end{tabular}',
    '\\end{table}',
    '',
  ].join('\n');
}

function cell(parts: CellParts): string {
  if (parts.kind === 'text') return escapeLatex(parts.text);
  if (parts.kind === 'nothing') return NOT_APPLICABLE;
  const beside = [parts.interval, parts.n, parts.seeds?.join(', ')].filter((part) => part !== undefined);
  const small = beside.length === 0 ? '' : ` {\\scriptsize ${escapeLatex(beside.join('; '))}}`;
  return `${escapeLatex(parts.value + (parts.grey ? GREY_MARK : ''))}${small}`;
}
