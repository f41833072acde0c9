// Code in the documentation is run as it stands, by one convention (CONTRIBUTING.md, "Code in the documentation"): what a fence
// is called decides what is done with its block, and an HTML comment just above says what else there is to know.
import { readFileSync } from 'node:fs';
import { parse } from 'yaml';

export interface DocBlock {
  /** Line of the opening fence. */
  line: number;
  language: string;
  code: string;
  /** `<!-- file: NAME -->`: the block is a file that later blocks read. */
  file?: string;
  /** `<!-- not run: REASON -->`. */
  reason?: string;
  /** `<!-- run first: COMMANDS -->`: what the reader has done before. */
  first?: string;
}

const RUN = new Set(['bash', 'js', 'ts', 'sql']);
const SHOWN = new Set(['text', 'json', 'jsonl', 'yaml']);

/** The fenced blocks of a page, in order. @throws where a fence is not closed or has no language */
export function blocksOf(path: string, text = readFileSync(path, 'utf8')): DocBlock[] {
  const blocks: DocBlock[] = [];
  const lines = text.split('\n');
  for (let i = 0; i < lines.length; i += 1) {
    const language = /^\s*```(.*)$/.exec(lines[i]!)?.[1];
    if (language === undefined) continue;
    const from = i;
    while (++i < lines.length && !/^\s*```\s*$/.test(lines[i]!));
    if (i >= lines.length) throw new Error(`${path}:${from + 1}: this fence is not closed`);
    if (language === '') throw new Error(`${path}:${from + 1}: this fence has no language`);
    const code = lines.slice(from + 1, i).join('\n');
    blocks.push({ line: from + 1, language, code, ...commentsAbove(lines, from) });
  }
  return blocks;
}

/** HTML comments that end right above a line; the words before their colons. */
function commentsAbove(lines: readonly string[], at: number): Pick<DocBlock, 'file' | 'reason' | 'first'> {
  const above = lines.slice(0, at).join('\n');
  const tail = /(?:<!--(?:(?!-->)[\s\S])*-->\s*)+$/.exec(above)?.[0] ?? '';
  const comments = [...tail.matchAll(/<!-- ([\s\S]*?)\s*-->/g)].map(([, text]) => text!);
  const found = (word: string): string | undefined =>
    comments
      .find((text) => text.startsWith(`${word}:`))
      ?.slice(word.length + 1)
      .trim();
  const [file, reason, first] = [found('file'), found('not run'), found('run first')];
  return {
    ...(file !== undefined && { file }),
    ...(reason !== undefined && { reason }),
    ...(first !== undefined && { first }),
  };
}

/** What has to be done with a block. @throws where that can't be known */
export function treatmentOf(block: DocBlock): 'run' | 'write' | 'left out' | 'shown' {
  const { language, reason, file, code } = block;
  if (reason !== undefined) return 'left out';
  if (file !== undefined) return 'write';
  if (RUN.has(language)) return 'run';
  if (language === 'json') JSON.parse(code);
  else if (language === 'jsonl') for (const line of code.split('\n')) JSON.parse(line);
  else if (language === 'yaml') parse(code);
  if (SHOWN.has(language)) return 'shown';
  throw new Error(
    `line ${block.line}: a block of ${language} can't be run; say why by <!-- not run: REASON --> above it`,
  );
}
