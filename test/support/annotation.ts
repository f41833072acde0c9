// Tasks for people, small and wicked: several languages, two of them from right to left, and texts that a careless page would run.
import { makeAnnotationTask } from '../../lib/annotate/make';
import type { AnnotationKind } from '../../lib/annotate/protocol';
import type { AnnotationTask } from '../../lib/annotate/task';
import type { Example } from '../../lib/data/example';
import type { AnswerLine } from '../../lib/eval/measures/types';

/** Names that must never reach a browser. */
export const MODELS = ['secret-base-270m', 'secret-tuned-270m'] as const;

export const HOSTILE =
  '<img src=x onerror="document.title=\'owned\'"><script>document.title="owned"</script>';

const ASKED: Readonly<Record<string, string>> = {
  en: 'What is the capital of region',
  ar: 'ما هي عاصمة المنطقة',
  he: 'מהי בירת האזור',
  es: '¿Cuál es la capital de la región',
};

export function prompts(languages: readonly string[], items: number): Example[] {
  return Array.from({ length: items }, (_, item) =>
    languages.map((lang, at) => ({
      id: `${lang}-${item}`,
      lang,
      parallelId: `p${item}`,
      turns: [{ role: 'user', content: `${ASKED[lang] ?? 'Name region'} ${item}?` }],
      source: { file: 'prompts.jsonl', line: item * languages.length + at + 1 },
    })),
  ).flat();
}

export function answersTo(
  examples: readonly Example[],
  answer: (example: Example, at: number) => string,
  sample = 0,
): AnswerLine[] {
  return examples.map((example, at) => ({
    id: example.id,
    lang: example.lang,
    sample,
    response: answer(example, at),
    tokens: [],
    finishReason: '',
  }));
}

export interface TaskOptions {
  languages?: readonly string[];
  items?: number;
  kind?: AnnotationKind;
  ties?: boolean;
  seed?: number;
  /** The places of prompts to which both models give one text. */
  identical?: readonly number[];
}

/** A task of `items` prompts in each language; answers are A's and B's by their texts. */
export function taskOf(options: TaskOptions = {}): AnnotationTask {
  const {
    languages = ['en', 'ar'],
    items = 6,
    kind = 'choose',
    ties = true,
    seed = 0,
    identical = [],
  } = options;
  const asked = prompts(languages, items);
  const made = makeAnnotationTask({
    models: MODELS.map((name, model) => ({
      name,
      file: `${name}.jsonl`,
      sha256: '0'.repeat(64),
      answers: answersTo(asked, ({ lang, id }, at) =>
        identical.includes(at) ? 'same' : `${'AB'[model]} ${lang === 'ar' ? 'الرياض' : HOSTILE}\n  ${id}`,
      ),
    })),
    prompts: asked,
    promptsFile: { file: 'prompts.jsonl', sha256: '0'.repeat(64) },
    kind,
    ties,
    seed,
  });
  return made.task;
}
