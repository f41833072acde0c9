// Shows a person what the model will be trained on: every token as it is, the supervised ones coloured, so that a wrong
// template or mask is seen before it costs a run.

import type { Tokenizer } from '../model/tokenizer';
import { refuseUnknownOptions } from '../text/options';
import { place } from './example';
import { countTargets, type RenderedExample } from './render';

/** How a preview is shown. */
export interface PreviewOptions {
  /** ANSI colours; without them targets stand between ⟦ and ⟧. Default true. */
  color?: boolean;
}

const RESET = '\u001b[0m';
const DIM = '\u001b[2m';
const TARGET = '\u001b[32m';
const CONTROL = '\u001b[35m';
const CONTROL_TARGET = '\u001b[1;32m';
const CUT = '\u001b[31m';

/** One record: a head line, then its text. */
function previewExample(
  example: RenderedExample,
  tokenizer: Tokenizer,
  options: PreviewOptions = {},
): string {
  const color = options.color ?? true;
  const paint = (style: string, text: string): string =>
    color && text !== '' ? `${style}${text}${RESET}` : text;
  const supervised = countTargets(example.weights);
  const empty = example.emptyResponses ? ', with an empty response' : '';
  const head = `${example.id} [${example.lang}] ${place(example.source)}: ${example.tokens.length} tokens, ${supervised} supervised${example.cut ? ', cut' : ''}${empty}`;
  let body = '';
  for (const run of runs(example, tokenizer)) {
    const text = visible(tokenizer.decode(run.ids));
    const style = run.control ? (run.target ? CONTROL_TARGET : CONTROL) : run.target ? TARGET : DIM;
    body += color ? paint(style, text) : run.target ? `⟦${text}⟧` : text;
  }
  if (!color) body = body.replaceAll('⟧⟦', '');
  const mark = example.cut ? paint(CUT, '✂') : '';
  return `${paint('\u001b[1m', head)}\n${body}${mark}\n`;
}

/** The first `count` records. */
export function preview(
  examples: readonly RenderedExample[],
  count: number,
  tokenizer: Tokenizer,
  options: PreviewOptions = {},
): string {
  refuseUnknownOptions('preview', options, { color: true });
  return examples
    .slice(0, count)
    .map((example) => previewExample(example, tokenizer, options))
    .join('\n');
}

interface Run {
  ids: number[];
  target: boolean;
  control: boolean;
}

/** Neighbouring tokens that look alike, together: a character may be spread over several tokens. */
function runs(example: RenderedExample, tokenizer: Tokenizer): Run[] {
  const list: Run[] = [];
  for (const [index, id] of example.tokens.entries()) {
    const target = example.weights[index] !== 0;
    const control = tokenizer.isControl(id);
    const last = list.at(-1);
    if (last !== undefined && last.target === target && last.control === control) last.ids.push(id);
    else list.push({ ids: [id], target, control });
  }
  return list;
}

/** Line breaks are kept and marked; other control characters are shown, so that data can't steer the terminal. */
function visible(text: string): string {
  return text
    .replace(
      /[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/g,
      (char) => `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`,
    )
    .replaceAll('\n', '⏎\n');
}
