// The data report for people: a table a question, and under each what its figures do and do not say.

import type { DataReport, LanguageData, Lengths, SetReport } from './data-report';
import { describeHoles } from './join';

/** Plain text of a few tables. */
export function describeDataReport(report: DataReport): string {
  const parts = [describeSet('train', report.train)];
  if (report.evaluation !== undefined) parts.push(describeSet('eval', report.evaluation));
  if (report.leaks !== undefined) parts.push(describeLeaks(report.leaks));
  return parts.join('\n\n');
}

function describeSet(name: string, set: SetReport): string {
  const languages = Object.entries(set.languages);
  const lines = [
    `${name}: ${set.records} records, ${set.items} items, ${languages.length} ${languages.length === 1 ? 'language' : 'languages'}`,
  ];
  const holes = describeHoles(set.table);
  if (holes !== undefined) lines.push(holes);
  lines.push('', sizes(languages), '', faults(languages));
  const empty = languages.filter(([, { emptyResponses }]) => emptyResponses > 0);
  if (empty.length > 0) {
    const list = empty.map(([lang, { emptyResponses }]) => `${lang} ${emptyResponses}`).join(', ');
    lines.push(`warning: in an empty response only the end of the turn is a target (${list})`);
  }
  if (languages.some(([, { tokens }]) => tokens?.estimated))
    lines.push(
      '~ estimated from records at even distances; the other columns are of those records or of all',
    );
  if (languages.some(([, { language }]) => language !== undefined)) lines.push('', answers(languages));
  return lines.join('\n');
}

type Row = [lang: string, data: LanguageData];

function sizes(languages: readonly Row[]): string {
  if (languages.every(([, { tokens }]) => tokens === undefined)) {
    const rows = languages.map(([lang, { records, characters }]) => [lang, `${records}`, `${characters}`]);
    return columns(['language', 'records', 'characters'], rows);
  }
  return columns(
    ['language', 'records', 'prompt tokens', 'response tokens', 'supervised', 'tokens/word'],
    languages.map(([lang, { records, tokens }]) => [
      lang,
      `${records}`,
      lengths(tokens?.prompt),
      lengths(tokens?.response),
      tokens === undefined ? '–' : `${tokens.estimated ? '~' : ''}${tokens.supervised}`,
      tokens === undefined ? '–' : tokens.perWord.toFixed(2),
    ]),
  ).concat('\ntokens of texts: min / median / 95 % / max, without the template’s own');
}

function lengths(of: Lengths | undefined): string {
  return of === undefined ? '–' : [of.min, of.median, of.p95, of.max].join(' / ');
}

function faults(languages: readonly Row[]): string {
  return columns(
    ['language', 'no response', 'empty', 'duplicates', 'same prompt', 'control tokens'],
    languages.map(([lang, data]) => [
      lang,
      `${data.withoutResponse}`,
      `${data.emptyResponses}`,
      `${data.duplicates}`,
      `${data.repeatedPrompts}`,
      data.tokens === undefined ? '–' : `${data.tokens.controlTokens}`,
    ]),
  );
}

function answers(languages: readonly Row[]): string {
  const rows = languages.map(([lang, { language }]) => {
    if (language === undefined) return [lang, '–', '–', '–', '–', '–'];
    const { checked, wrong, undecided, as, ids, recall } = language;
    const most = Object.entries(as).sort(([, a], [, b]) => b - a);
    const what = most.slice(0, 3).map(([other, n]) => `${other} ${n}`);
    return [
      lang,
      `${checked}`,
      `${wrong}`,
      `${undecided}`,
      share(recall.responses),
      share(recall.prompts),
      wrong === 0 ? '' : `${what.join(', ')}; as ${ids.slice(0, 2).join(', ')}`,
    ];
  });
  return columns(
    ['language', 'checked', 'not in it', 'undecided', 'recall (n)', 'on prompts (n)', ''],
    rows,
  ).concat(
    '\nresponses in another language than their label’s, by script, else by identification (20 letters or more); recall: how' +
      '\noften identification finds the label. Low on both, it does not know the language well, and what it says counts little',
  );
}

function share({ recall, n }: { recall: number; n: number }): string {
  return n === 0 ? 'n/a' : `${(recall * 100).toFixed(1)} % (${n})`;
}

function describeLeaks({ counts, examples }: NonNullable<DataReport['leaks']>): string {
  const kinds = Object.entries(counts);
  if (kinds.length === 0) return 'train × eval: no shared ids, items, equal or similar prompts';
  const names: Record<string, string> = {
    id: 'error: shared ids',
    parallel_id: 'error: shared items (parallel_id)',
    prompt: 'warning: equal prompts',
    'near-duplicate': 'warning: similar prompts (character shingles, Jaccard 0.8 or the limit given)',
  };
  const lines = kinds.map(([kind, byLanguage]) => {
    const first = examples.find((leak) => leak.kind === kind);
    const list = Object.entries(byLanguage).map(([lang, n]) => `${lang} ${n}`);
    const similarity = first?.similarity === undefined ? '' : ` (${first.similarity.toFixed(2)})`;
    return `  ${names[kind]}: ${list.join(', ')}; the first is ${first?.evaluation} with ${first?.train}${similarity}`;
  });
  return ['train × eval, records of eval that train has seen:', ...lines].join('\n');
}

function columns(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [header, ...rows];
  const widths = header.map((_, at) => Math.max(...all.map((row) => [...(row[at] ?? '')].length)));
  const cell = (text: string, at: number): string => {
    const fill = ' '.repeat(Math.max(0, widths[at]! - [...text].length));
    return at === 0 || header[at] === '' ? text + fill : fill + text;
  };
  return all
    .map((row) =>
      header
        .map((_, at) => cell(row[at] ?? '', at))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
