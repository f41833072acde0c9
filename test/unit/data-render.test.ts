// What is supervised decides what is learnt: the mask of every template, and that training sees what sampling feeds.
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import type { Example } from '../../lib/data/example';
import { preview } from '../../lib/data/preview';
import {
  countTargets,
  describeReport,
  type RenderOptions,
  renderExample,
  renderExamples,
  renderPrompt,
} from '../../lib/data/render';
import { ChatTemplate, type ChatTurn } from '../../lib/model/template';
import { Tokenizer } from '../../lib/model/tokenizer';

const fixtures = fileURLToPath(new URL('../fixtures', import.meta.url));
const load = (family: string): Promise<Tokenizer> =>
  Tokenizer.fromHuggingFace(join(fixtures, family, 'model'));

const example = (turns: [string, string][], more: Partial<Example> = {}): Example => ({
  id: 'r1',
  lang: 'en',
  turns: turns.map(([role, content]): ChatTurn => ({ role, content })),
  source: { file: 'data.jsonl', line: 7 },
  ...more,
});

const TEXTS = [
  'hi',
  '',
  '  padded \n',
  'שלום עולם',
  'مرحبا بالعالم',
  '你好世界',
  'नमस्ते',
  'a\n\n\nb',
  '🐈‍⬛',
  '\n',
  'x '.repeat(300),
];
const text = fc.oneof(fc.constantFrom(...TEXTS), fc.string({ unit: 'grapheme', maxLength: 20 }));

const TEMPLATES: [string, string][] = [
  ['gemma3-tiny', 'auto'],
  ['gemma3-tiny', 'gemma'],
  ['gemma3-tiny', 'alpaca'],
  ['gemma3-tiny', 'mistral'],
  ['smol-tiny', 'auto'],
  ['smol-tiny', 'chatml'],
  ['llama-tiny', 'mistral'],
  ['llama-tiny', 'alpaca'],
];

describe.each(TEMPLATES)('%s with template %s', (family, name) => {
  let options: RenderOptions;
  beforeAll(async () => {
    const tokenizer = await load(family);
    options = {
      tokenizer,
      template: await ChatTemplate.create({ tokenizer, template: name }),
      maxLength: 100_000,
    };
  });

  it('trains on the prompt that sampling feeds, then the response, then the end of turn', () => {
    fc.assert(
      fc.property(text, text, (question, answer) => {
        const turns: [string, string][] = [
          ['user', question],
          ['assistant', answer],
        ];
        const { tokenizer, template } = options;
        const [rendered] = renderExample(example(turns), options);
        const prompt = renderPrompt([{ role: 'user', content: question }], options).tokens;
        const end = template.end.ids;
        const { tokens, weights, promptLength } = rendered!;
        expect(promptLength).toBe(prompt.length);
        expect([...tokens.subarray(0, promptLength)]).toEqual([...prompt]);
        expect([...tokens.subarray(tokens.length - end.length)]).toEqual([...end]);
        const response = tokenizer.decode(tokens.subarray(promptLength, tokens.length - end.length));
        expect(response.trim()).toBe(
          answer
            .replace(/\p{Surrogate}/gu, '\ufffd')
            .replaceAll('▁', ' ')
            .trim(),
        );
        expect([...weights].every((weight, i) => weight === (i < promptLength ? 0 : 1))).toBe(true);
      }),
      { numRuns: 60 },
    );
  });

  it('has exactly one BOS where the tokenizer adds one', () => {
    const { tokenizer } = options;
    const [rendered] = renderExample(
      example([
        ['user', 'q'],
        ['assistant', 'a'],
      ]),
      options,
    );
    if (!tokenizer.addsBos) return expect(tokenizer.encode('q')[0]).not.toBe(tokenizer.bosId);
    expect(rendered!.tokens[0]).toBe(tokenizer.bosId);
    expect([...rendered!.tokens].filter((id) => id === tokenizer.bosId)).toHaveLength(1);
  });

  it('supervises every assistant turn, and what it has seen before each is what sampling would feed', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(text, text), { minLength: 1, maxLength: 3 }), (pairs) => {
        const turns = pairs.flatMap(([q, a]): [string, string][] => [
          ['user', q],
          ['assistant', a],
        ]);
        const record = example(turns);
        const rendered = renderExample(record, options);
        const ends: number[] = [];
        for (const { tokens, weights } of rendered) {
          for (let i = 1; i < tokens.length; i += 1) {
            if (weights[i] === 0 || weights[i - 1] !== 0) continue;
            ends.push(i);
            const before = record.turns.slice(0, ends.length * 2 - 1);
            expect([...tokens.subarray(0, i)]).toEqual([...renderPrompt(before, options).tokens]);
          }
        }
        expect(ends).toHaveLength(pairs.length);
      }),
      { numRuns: 40 },
    );
  });

  it('gives no end-of-turn token to a response that was cut', () => {
    const [whole] = renderExample(
      example([
        ['user', 'q'],
        ['assistant', 'one two three four five six'],
      ]),
      options,
    );
    const [cut] = renderExample(
      example([
        ['user', 'q'],
        ['assistant', 'one two three four five six'],
      ]),
      {
        ...options,
        maxLength: whole!.tokens.length - 1,
      },
    );
    expect(cut!.cut).toBe(true);
    expect([...cut!.tokens]).toEqual([...whole!.tokens.subarray(0, -1)]);
    expect(cut!.tokens.at(-1)).not.toBe(options.template.end.ids.at(-1));
  });
});

describe('masks', () => {
  const make = async (family: string, template: string): Promise<RenderOptions> => {
    const tokenizer = await load(family);
    return { tokenizer, template: await ChatTemplate.create({ tokenizer, template }) };
  };
  const gemma = (): Promise<RenderOptions> => make('gemma3-tiny', 'gemma');

  it('keeps what follows an end of turn as context', async () => {
    const options = await gemma();
    const [rendered] = renderExample(
      example([
        ['user', 'a'],
        ['assistant', 'b'],
        ['user', 'c'],
        ['assistant', 'd'],
      ]),
      options,
    );
    const end = options.tokenizer.tokenToId('<end_of_turn>');
    const { tokens, weights } = rendered!;
    const targets = [...tokens].filter((_, i) => weights[i] === 1);
    const decoded = options.tokenizer.decode(targets);
    expect(decoded).toBe('b<end_of_turn>d<end_of_turn>');
    const first = tokens.indexOf(end!, tokens.indexOf(end!) + 1);
    expect(weights[first]).toBe(1);
    expect(weights[first + 1]).toBe(0);
    expect(options.tokenizer.decode([tokens[first + 1]!])).toMatch(/^\n/);
  });

  it('makes examples of their own of turns whose prompts do not continue one another', async () => {
    const tokenizer = await load('smol-tiny');
    const json = tokenizer.toJson() as never;
    const forgetful = Tokenizer.fromJson(json, {
      config: { eos_token: '<|im_end|>' },
      chatTemplate:
        "{% for m in messages %}{% if m.role == 'user' or loop.last %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% else %}<|im_start|>assistant\n[gone]<|im_end|>\n{% endif %}{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
    });
    const options = { tokenizer: forgetful, template: await ChatTemplate.create({ tokenizer: forgetful }) };
    const rendered = renderExample(
      example([
        ['user', 'a'],
        ['assistant', 'first'],
        ['user', 'c'],
        ['assistant', 'second'],
      ]),
      options,
    );
    expect(rendered.map((one) => one.id)).toEqual(['r1', 'r1#2']);
    const targets = rendered.map(({ tokens, weights }) =>
      forgetful.decode([...tokens].filter((_, i) => weights[i] === 1)),
    );
    expect(targets).toEqual(['first<|im_end|>', 'second<|im_end|>']);
    expect(forgetful.decode(rendered[1]!.tokens)).toContain('[gone]');
  });

  it('takes a text as it stands with none: one BOS, all but the first a target', async () => {
    const options = await make('gemma3-tiny', 'none');
    const [rendered] = renderExample(example([], { text: ' two words\n' }), options);
    expect(options.tokenizer.decode(rendered!.tokens)).toBe('<bos> two words\n');
    expect([...rendered!.weights]).toEqual([0, ...Array(rendered!.tokens.length - 1).fill(1)]);
    expect(() => renderExample(example([['user', 'q']]), options)).toThrow(/data\.jsonl:7.*"text"/);
  });

  it('weighs a record’s targets to 1 together with lossNorm example', async () => {
    const options = { ...(await gemma()), lossNorm: 'example' as const };
    const [rendered] = renderExample(
      example([
        ['user', 'q'],
        ['assistant', 'abc def'],
      ]),
      options,
    );
    expect(rendered!.weights.reduce((a, b) => a + b)).toBeCloseTo(1, 5);
    expect(countTargets(rendered!.weights)).toBeGreaterThan(2);
  });

  it('supervises the end of turn of an empty response', async () => {
    const options = await gemma();
    const [rendered] = renderExample(
      example([
        ['user', 'q'],
        ['assistant', ''],
      ]),
      options,
    );
    expect(countTargets(rendered!.weights)).toBe(1);
  });

  it('adds the system turn that was asked for, unless a record has its own', async () => {
    const options = { ...(await gemma()), system: 'BE KIND' };
    const [rendered] = renderExample(
      example([
        ['user', 'q'],
        ['assistant', 'a'],
      ]),
      options,
    );
    expect(options.tokenizer.decode(rendered!.tokens)).toContain('user\nBE KIND\n\nq');
    const [own] = renderExample(
      example([
        ['system', 'own'],
        ['user', 'q'],
        ['assistant', 'a'],
      ]),
      options,
    );
    expect(options.tokenizer.decode(own!.tokens)).not.toContain('BE KIND');
  });
});

describe('truncation and the report', () => {
  let options: RenderOptions;
  beforeAll(async () => {
    const tokenizer = await load('gemma3-tiny');
    options = {
      tokenizer,
      template: await ChatTemplate.create({ tokenizer, template: 'gemma' }),
      maxLength: 60,
    };
  });
  const long = 'word '.repeat(60);

  it('counts cut and dropped records by language', () => {
    const records = [
      example(
        [
          ['user', 'q'],
          ['assistant', 'a'],
        ],
        { id: 'a', lang: 'et' },
      ),
      example(
        [
          ['user', 'q'],
          ['assistant', long],
        ],
        { id: 'b', lang: 'sw' },
      ),
      example(
        [
          ['user', 'q'],
          ['assistant', long],
        ],
        { id: 'c', lang: 'sw' },
      ),
    ];
    const cut = renderExamples(records, options);
    expect(cut.report).toMatchObject({ records: 3, examples: 3, cut: { sw: 2 }, dropped: {} });
    expect(cut.examples[1]!.tokens).toHaveLength(60);
    const dropped = renderExamples(records, { ...options, truncate: 'drop' });
    expect(dropped.report).toMatchObject({ records: 3, examples: 1, cut: {}, dropped: { sw: 2 } });
    expect(dropped.report.tokens).toEqual({ et: dropped.examples[0]!.tokens.length });
    expect(() => renderExamples(records.slice(1), { ...options, truncate: 'drop' })).toThrow(
      expect.objectContaining({ code: 'DATA_EMPTY' }),
    );
  });

  it('names a record that has no target left', () => {
    expect(() =>
      renderExample(
        example([
          ['user', long],
          ['assistant', 'a'],
        ]),
        options,
      ),
    ).toThrow(
      expect.objectContaining({
        code: 'DATA_INVALID',
        message: expect.stringMatching(/data\.jsonl:7: record "r1" has no supervised token/),
      }),
    );
  });

  it('cuts a long prompt at its beginning, so that BOS and the generation prompt stay', () => {
    const { tokenizer } = options;
    const [rendered] = renderExample(
      example([
        ['user', long],
        ['assistant', 'a'],
      ]),
      { ...options, maxPrompt: 40 },
    );
    expect(rendered).toMatchObject({ promptLength: 40, cut: true });
    expect(tokenizer.decode(rendered!.tokens)).toMatch(/^<bos>.*<start_of_turn>model\na<end_of_turn>$/s);
  });

  it('cuts a long response, and only then leaves its end out', () => {
    const response = [...options.tokenizer.encode('abc', { addBos: false })].length + 1;
    const record = example([
      ['user', 'q'],
      ['assistant', 'abc'],
    ]);
    expect(renderExample(record, { ...options, maxResponse: response })[0]!.cut).toBe(false);
    const [cut] = renderExample(record, { ...options, maxResponse: response - 1 });
    expect(cut!.cut).toBe(true);
    expect(options.tokenizer.isControl(cut!.tokens.at(-1)!)).toBe(false);
  });

  it('counts control tokens that a record’s own text spells', () => {
    const records = [
      example(
        [
          ['user', 'say <end_of_turn> and <start_of_turn>'],
          ['assistant', 'no'],
        ],
        { id: 'a' },
      ),
      example(
        [
          ['user', 'plain < text'],
          ['assistant', 'ok'],
        ],
        { id: 'b' },
      ),
    ];
    const { report, examples } = renderExamples(records, options);
    expect(report).toMatchObject({ controlTokenRecords: 1, controlTokens: 2 });
    const end = options.tokenizer.tokenToId('<end_of_turn>');
    expect([...examples[0]!.tokens].filter((id) => id === end)).toHaveLength(3);
  });

  it('counts records with an empty response, warns of them and marks them in the preview', () => {
    const asked = (id: string, lang: string, ...responses: string[]): Example =>
      example(
        responses.flatMap((response): [string, string][] => [
          ['user', 'q'],
          ['assistant', response],
        ]),
        { id, lang },
      );
    const records = [asked('a', 'et', ''), asked('b', 'sw', 'x', ' \n'), asked('c', 'sw', 'x')];
    const { report, examples } = renderExamples(records, options);
    expect(report.emptyResponses).toEqual({ et: 1, sw: 1 });
    expect(describeReport(report)).toEqual([
      expect.stringMatching(/^warning: records with an empty response, .*: et 1, sw 1 \(/),
    ]);
    expect(countTargets(examples[0]!.weights)).toBe(1);
    const heads = preview(examples, 3, options.tokenizer, { color: false }).match(/^. \[.*$/gm);
    expect(heads).toEqual([
      expect.stringMatching(/^a .* 1 supervised, with an empty response$/),
      expect.stringMatching(/^b .*, with an empty response$/),
      expect.stringMatching(/^c .* supervised$/),
    ]);
    expect(describeReport(renderExamples(records.slice(2), options).report)).toEqual([]);
  });

  it('names the record that a template refuses', () => {
    expect(() =>
      renderExample(
        example([
          ['user', 'a'],
          ['user', 'b'],
          ['assistant', 'c'],
        ]),
        options,
      ),
    ).toThrow(/data\.jsonl:7: record "r1": template "gemma" refuses.*alternate/);
  });

  it('previews with targets coloured, control tokens shown and cuts marked', () => {
    const { examples } = renderExamples(
      [
        example([
          ['user', 'q\u001b[2J'],
          ['assistant', 'answer'],
        ]),
        example(
          [
            ['user', 'q'],
            ['assistant', long],
          ],
          { id: 'r2' },
        ),
      ],
      options,
    );
    const plain = preview(examples, 2, options.tokenizer, { color: false });
    expect(plain).toContain('<bos><start_of_turn>user⏎\nq\\x1b[2J<end_of_turn>');
    expect(plain).toContain('⟦answer<end_of_turn>⟧');
    expect(plain).toMatch(/⟧✂\n$/);
    expect(preview(examples, 1, options.tokenizer)).toContain('\u001b[32manswer\u001b[0m');
    expect(preview(examples, 1, options.tokenizer)).not.toContain('r2');
  });
});
