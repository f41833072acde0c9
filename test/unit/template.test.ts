// Chat templates render as transformers does, and those that do not fit a model are refused before anything is trained.
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { ChatTemplate, type ChatTurn } from '../../lib/model/template';
import { Tokenizer } from '../../lib/model/tokenizer';

const fixtures = fileURLToPath(new URL('../fixtures', import.meta.url));
const load = (family: string): Promise<Tokenizer> =>
  Tokenizer.fromHuggingFace(join(fixtures, family, 'model'));
const user = (content: string): ChatTurn => ({ role: 'user', content });
const assistant = (content: string): ChatTurn => ({ role: 'assistant', content });
const system = (content: string): ChatTurn => ({ role: 'system', content });

interface ChatCase {
  messages: ChatTurn[];
  addGenerationPrompt: boolean;
  text: string;
  ids: number[];
}

/** A vocabulary of ASCII letters with the given control tokens; the first is BOS, the last EOS. */
function tiny(control: string[], chatTemplate?: string): Tokenizer {
  const vocab: Record<string, number> = {};
  for (let code = 10; code < 127; code += 1) vocab[String.fromCharCode(code)] = code - 10;
  return Tokenizer.fromJson(
    {
      model: { type: 'BPE', vocab, merges: [] },
      added_tokens: control.map((content, i) => ({ id: 200 + i, content, special: true })),
    },
    {
      config: { bos_token: control[0], eos_token: control.at(-1), add_bos_token: true },
      ...(chatTemplate !== undefined && { chatTemplate }),
    },
  );
}

describe.each(['smol-tiny', 'gemma3-tiny'])('the template inside %s', (family) => {
  it('renders as transformers does', async () => {
    const tokenizer = await load(family);
    const template = await ChatTemplate.create({ tokenizer });
    const { chats } = JSON.parse(readFileSync(join(fixtures, family, 'tokenizer-cases.json'), 'utf8')) as {
      chats: ChatCase[];
    };
    expect(chats.length).toBeGreaterThan(0);
    for (const { messages, addGenerationPrompt, text, ids } of chats) {
      expect(template.render(messages, { addGenerationPrompt })).toBe(text);
      expect([...tokenizer.encode(text, { addBos: false })]).toEqual(ids);
    }
  });

  it('equals the built-in one of its format', async () => {
    const tokenizer = await load(family);
    const own = await ChatTemplate.create({ tokenizer });
    const builtin = await ChatTemplate.create({
      tokenizer,
      template: family === 'smol-tiny' ? 'chatml' : 'gemma',
    });
    const talk = [system('S'), user(' مرحبا '), assistant('你好\n'), user('c')];
    for (const addGenerationPrompt of [true, false]) {
      expect(builtin.render(talk, { addGenerationPrompt })).toBe(own.render(talk, { addGenerationPrompt }));
    }
    expect(builtin.end.ids).toEqual(own.end.ids);
  });
});

describe('built-in templates', () => {
  const talk = [system('S'), user('q1'), assistant('a1'), user('q2')];

  it('gemma folds the system turn into the first user turn, and ends at <end_of_turn>', async () => {
    const tokenizer = await load('gemma3-tiny');
    const template = await ChatTemplate.create({ tokenizer, template: 'gemma' });
    expect(template.render(talk, { addGenerationPrompt: true })).toBe(
      '<bos><start_of_turn>user\nS\n\nq1<end_of_turn>\n<start_of_turn>model\na1<end_of_turn>\n<start_of_turn>user\nq2<end_of_turn>\n<start_of_turn>model\n',
    );
    expect(template.end).toEqual({ ids: [tokenizer.tokenToId('<end_of_turn>')], text: '<end_of_turn>\n' });
  });

  it('llama3 writes headers and ends at <|eot_id|>', async () => {
    const tokenizer = tiny(['<s>', '<|start_header_id|>', '<|end_header_id|>', '<|eot_id|>', '</s>']);
    const template = await ChatTemplate.create({ tokenizer, template: 'llama3' });
    expect(template.render([user('q')], { addGenerationPrompt: true })).toBe(
      '<s><|start_header_id|>user<|end_header_id|>\n\nq<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n',
    );
    expect(template.end.ids).toEqual([203]);
  });

  it('mistral and alpaca end at EOS', async () => {
    const tokenizer = tiny(['<s>', '</s>']);
    const mistral = await ChatTemplate.create({ tokenizer, template: 'mistral' });
    expect(mistral.render(talk, { addGenerationPrompt: true })).toBe(
      '<s>[INST] S\n\nq1 [/INST] a1</s>[INST] q2 [/INST]',
    );
    const alpaca = await ChatTemplate.create({ tokenizer, template: 'alpaca' });
    expect(alpaca.render(talk, { addGenerationPrompt: true })).toBe(
      '<s>S\n\n### Instruction:\nq1\n\n### Response:\na1</s>\n\n### Instruction:\nq2\n\n### Response:\n',
    );
    expect(alpaca.end).toEqual({ ids: [201], text: '</s>\n\n' });
    expect(mistral.end.ids).toEqual([201]);
  });

  it.each(['gemma', 'chatml', 'llama3', 'mistral', 'alpaca'])(
    '%s adds no words of its own as a system text',
    async (name) => {
      const tokenizer = tiny([
        '<s>',
        '<start_of_turn>',
        '<end_of_turn>',
        '<|im_start|>',
        '<|im_end|>',
        '<|start_header_id|>',
        '<|end_header_id|>',
        '<|eot_id|>',
        '</s>',
      ]);
      const template = await ChatTemplate.create({ tokenizer, template: name });
      expect(template.render([user('q')], { addGenerationPrompt: true })).not.toMatch(
        /system|helpful|Below/i,
      );
    },
  );

  it('refuse roles that do not take turns', async () => {
    const tokenizer = await load('gemma3-tiny');
    const template = await ChatTemplate.create({ tokenizer, template: 'gemma' });
    expect(() => template.render([user('a'), user('b')], { addGenerationPrompt: true })).toThrow(
      expect.objectContaining({ code: 'TEMPLATE_INVALID', message: expect.stringContaining('alternate') }),
    );
  });
});

describe('choosing a template', () => {
  it('refuses chatml on a vocabulary without its tokens', async () => {
    const tokenizer = await load('llama-tiny');
    await expect(ChatTemplate.create({ tokenizer, template: 'chatml' })).rejects.toMatchObject({
      code: 'TEMPLATE_INVALID',
      message: expect.stringMatching(/chatml.*<\|im_start\|>/),
    });
  });

  it('refuses templates that end at EOS where there is none', async () => {
    const tokenizer = Tokenizer.fromJson({
      model: { type: 'BPE', vocab: { a: 0 }, merges: [] },
      added_tokens: [],
    });
    await expect(ChatTemplate.create({ tokenizer, template: 'alpaca' })).rejects.toThrow(/EOS/);
  });

  it('takes a built-in for a model without a template when its vocabulary tells which, and says so', async () => {
    const template = await ChatTemplate.create({
      tokenizer: tiny(['<s>', '<start_of_turn>', '<end_of_turn>', '</s>']),
    });
    expect(template.name).toBe('gemma');
    expect(template.note).toMatch(/no chat template.*"gemma"/);
    await expect(ChatTemplate.create({ tokenizer: tiny(['<s>', '</s>']) })).rejects.toThrow(
      /brings no chat template/,
    );
  });

  it('reads a Jinja file, and names one that is missing, broken or leaves the answer out', async () => {
    const tokenizer = await load('smol-tiny');
    const file = join(mkdtempSync(join(tmpdir(), 'template-')), 't.jinja');
    await expect(ChatTemplate.create({ tokenizer, template: file })).rejects.toMatchObject({
      code: 'FILE_NOT_FOUND',
    });
    writeFileSync(
      file,
      '{% for m in messages %}{{ m.role }}: {{ m.content }}<|im_end|>{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}',
    );
    const template = await ChatTemplate.create({ tokenizer, template: file });
    expect(template.render([user('q')], { addGenerationPrompt: true })).toBe('user: q<|im_end|>assistant: ');
    writeFileSync(file, '{% for m in messages %}{{ m.role }');
    await expect(ChatTemplate.create({ tokenizer, template: file })).rejects.toMatchObject({
      code: 'TEMPLATE_INVALID',
    });
    writeFileSync(file, 'nothing');
    await expect(ChatTemplate.create({ tokenizer, template: file })).rejects.toThrow(
      /leaves the assistant’s answer out/,
    );
    await expect(ChatTemplate.create({ tokenizer, template: 'chatlm' })).rejects.toThrow(
      /"chatlm" is not known/,
    );
  });

  it('freezes the clock', async () => {
    const source =
      "{{ strftime_now('%d %B %Y %H:%M %b %% %q') }}{% for m in messages %}{{ m.content }}{% endfor %}";
    const template = await ChatTemplate.create({
      tokenizer: tiny(['<s>', '</s>'], source),
      now: '2024-02-03T04:05:06Z',
    });
    const text = template.render([user('!')], { addGenerationPrompt: true });
    expect(text).toBe('03 February 2024 04:05 Feb % %q!');
    expect(template.now).toBe('2024-02-03T04:05:06.000Z');
  });

  it('takes a text as it stands with none', async () => {
    const template = await ChatTemplate.create({ tokenizer: await load('gemma3-tiny'), template: 'none' });
    expect(template.render([user('{{ 1 }}\n')], { addGenerationPrompt: true })).toBe('{{ 1 }}\n');
    expect(template.end.ids).toEqual([]);
  });
});
