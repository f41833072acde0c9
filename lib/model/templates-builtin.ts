// The chat formats that records are most often rendered in, for models that bring no template. They add no system text of
// their own, since English in a default system prompt would leak into every language's training.

export interface BuiltinTemplate {
  /** Jinja source. */
  source: string;
  /** Tokens that the vocabulary must have as single tokens, or the format would fall apart into pieces. */
  tokens: readonly string[];
  /** Whether a turn ends with the tokenizer's EOS, which must then exist. */
  needsEos: boolean;
}

const ALTERNATE = `
{%- for message in turns -%}
  {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}
    {{- raise_exception('roles must alternate user, assistant, user, …, after at most one system turn at the start') -}}
  {%- endif -%}
{%- endfor -%}`;

/** Cuts a leading system turn off: `system` is its text and a blank line (or empty), `turns` the rest. */
const SPLIT_SYSTEM = `
{%- if messages and messages[0]['role'] == 'system' -%}
  {%- set system = messages[0]['content'] + '\\n\\n' -%}
  {%- set turns = messages[1:] -%}
{%- else -%}
  {%- set system = '' -%}
  {%- set turns = messages -%}
{%- endif -%}`;

const gemma = `{{- bos_token -}}${SPLIT_SYSTEM}${ALTERNATE}
{%- for message in turns -%}
  {{- '<start_of_turn>' + ('model' if message['role'] == 'assistant' else 'user') + '\\n' -}}
  {{- system if loop.first else '' -}}
  {{- message['content'] | trim -}}
  {{- '<end_of_turn>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<start_of_turn>model\\n' -}}{%- endif -%}`;

const chatml = `
{%- for message in messages -%}
  {{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}`;

const llama3 = `{{- bos_token -}}
{%- for message in messages -%}
  {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' -}}
  {{- message['content'] | trim -}}
  {{- '<|eot_id|>' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' -}}{%- endif -%}`;

const mistral = `{{- bos_token -}}${SPLIT_SYSTEM}${ALTERNATE}
{%- for message in turns -%}
  {%- if message['role'] == 'user' -%}
    {{- '[INST] ' + (system if loop.first else '') + message['content'] + ' [/INST]' -}}
  {%- else -%}
    {{- ' ' + message['content'] + eos_token -}}
  {%- endif -%}
{%- endfor -%}`;

const alpaca = `{{- bos_token -}}${SPLIT_SYSTEM}
{{- system -}}
{%- for message in turns -%}
  {%- if message['role'] == 'user' -%}
    {{- '### Instruction:\\n' + message['content'] + '\\n\\n' -}}
  {%- else -%}
    {{- '### Response:\\n' + message['content'] + eos_token + '\\n\\n' -}}
  {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '### Response:\\n' -}}{%- endif -%}`;

export const BUILTIN_TEMPLATES: Readonly<Record<string, BuiltinTemplate>> = {
  gemma: { source: gemma, tokens: ['<start_of_turn>', '<end_of_turn>'], needsEos: false },
  chatml: { source: chatml, tokens: ['<|im_start|>', '<|im_end|>'], needsEos: false },
  llama3: {
    source: llama3,
    tokens: ['<|start_header_id|>', '<|end_header_id|>', '<|eot_id|>'],
    needsEos: false,
  },
  mistral: { source: mistral, tokens: [], needsEos: true },
  alpaca: { source: alpaca, tokens: [], needsEos: true },
};
