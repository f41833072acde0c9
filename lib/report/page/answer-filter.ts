// Which answers a reader asked for: a pure function of the index and of what the controls say, so that an address holds it and a
// test can ask it. Runs in browsers.
import { gatedPoints, type LanguageState } from '../../eval/gate';
import { pairPoints, scoreVerdict } from '../../eval/side-by-side';
import { type AnswersMeta, PAIR_VERDICTS } from './answer-data';
import { ANSWER_STATES, type AnswerColumns } from './answer-index';
import { judgeName } from './judge-name';

/** What the controls say; empty: no matter. */
export interface AnswerFilter {
  /** Code of the prompt's language. */
  lang: string;
  /** Arm. */
  model: string;
  /** Arm whose answers stand beside, and are what verdicts compare with. */
  beside: string;
  seed: string;
  /** `right`, `wrong`, `undecided`, or `in:CODE`. */
  answered: string;
  /** Who judges; empty: chrF, gated by language. */
  judge: string;
  /** `A`, `tie`, `B` or `none`. */
  verdict: string;
  words: string;
  /** `shown`: the references stand open under their prompts. It filters nothing. */
  references: string;
}

export const NO_FILTER: AnswerFilter = {
  lang: '',
  model: '',
  beside: '',
  seed: '',
  answered: '',
  judge: '',
  verdict: '',
  words: '',
  references: '',
};

/** What an address says: filters and a page, or one prompt. */
export type Place = { filter: AnswerFilter; page: number } | { prompt: string };

const PROMPT = /^#at=([0-9a-f]{12})$/;

/** The fragment of an address; anything that it does not understand is nothing. */
export function readPlace(fragment: string): Place {
  const prompt = PROMPT.exec(fragment)?.[1];
  if (prompt !== undefined) return { prompt };
  const said = new URLSearchParams(
    fragment.startsWith('#answers?') ? fragment.slice('#answers?'.length) : '',
  );
  const filter = Object.fromEntries(
    Object.keys(NO_FILTER).map((name) => [name, said.get(name) ?? '']),
  ) as unknown as AnswerFilter;
  const page = Number(said.get('page') ?? 1);
  return { filter, page: Number.isSafeInteger(page) && page > 0 ? page : 1 };
}

/** Empty where nothing is filtered and the first page is shown. */
export function placeFragment(filter: AnswerFilter, page: number): string {
  const said = new URLSearchParams(Object.entries(filter).filter(([, value]) => value !== ''));
  if (page > 1) said.set('page', String(page));
  return said.size === 0 ? '' : `#answers?${said}`;
}

/** Answers by prompt and model. */
export interface AnswerTable {
  meta: AnswersMeta;
  answers: AnswerColumns;
  /** Place of each prompt's language. */
  promptLanguages: Uint16Array;
  /** A column over prompts for each of the meta's verdicts. */
  verdicts: readonly Uint8Array[];
  /** Number of the answer by prompt × models + model; -1: there is none. */
  at: Int32Array;
}

export function answerTable(parts: Omit<AnswerTable, 'at'>): AnswerTable {
  const { answers, meta, promptLanguages } = parts;
  const models = meta.models.length;
  const at = new Int32Array(promptLanguages.length * models).fill(-1);
  for (let answer = 0; answer < meta.answers; answer += 1) {
    at[answers.prompt[answer]! * models + answers.model[answer]!] = answer;
  }
  return { ...parts, at };
}

/** What was asked for. */
export interface Selection {
  /** In their order. */
  prompts: readonly number[];
  /** Models whose answers are shown, and those beside them. */
  models: readonly number[];
  beside: readonly number[];
  /** By the answer's number: 1 where it is what was asked for. */
  found: Uint8Array;
  answers: number;
  /** Of the answers that were compared, before the filter by verdict; undefined where none stands beside. */
  tally: { A: number; tie: number; B: number; none: number } | undefined;
}

/**
 * @param words for each answer, whether it or its prompt has the words; undefined where none were asked for
 */
export function selectAnswers(
  table: AnswerTable,
  filter: AnswerFilter,
  words: Uint8Array | undefined,
): Selection {
  const { meta, answers, promptLanguages, at } = table;
  const isOf = (arm: string) => (place: number) => {
    const model = meta.models[place]!;
    const rightSeed = filter.seed === '' || model.seed === null || String(model.seed) === filter.seed;
    return rightSeed && (arm === '' || model.arm === arm);
  };
  const all = [...meta.models.keys()];
  const models = all.filter(isOf(filter.model));
  const beside = filter.beside === '' ? [] : all.filter(isOf(filter.beside));
  const language = meta.languages.findIndex(({ code }) => code === filter.lang);
  const state = (ANSWER_STATES as readonly string[]).indexOf(filter.answered);
  const inside = meta.answerLanguages.findIndex(({ code }) => `in:${code}` === filter.answered);
  const compare = filter.beside === '' ? undefined : verdictOf(table, filter);

  const selection = { prompts: [] as number[], found: new Uint8Array(meta.answers), answers: 0 };
  const tally = { A: 0, tie: 0, B: 0, none: 0 };
  for (let prompt = 0; prompt < promptLanguages.length; prompt += 1) {
    if (filter.lang !== '' && promptLanguages[prompt] !== language) continue;
    let any = false;
    for (const model of models) {
      const answer = at[prompt * meta.models.length + model]!;
      if (answer < 0) continue;
      if (words !== undefined && words[answer] === 0) continue;
      if (state >= 0 && answers.state[answer] !== state) continue;
      if (filter.answered.startsWith('in:') && answers.language[answer] !== inside) continue;
      if (compare !== undefined) {
        const other = partner(table, beside, prompt, model);
        if (other !== undefined) {
          const verdict = compare(prompt, model, other);
          tally[verdict] += 1;
          if (filter.verdict !== '' && verdict !== filter.verdict) continue;
        } else if (filter.verdict !== '') continue;
      } else if (filter.verdict !== '') continue;
      selection.found[answer] = 1;
      selection.answers += 1;
      any = true;
    }
    if (any) selection.prompts.push(prompt);
  }
  return { ...selection, models, beside, tally: compare && tally };
}

/** The model beside that one is compared with: of its own seed, or of none; with an answer to the prompt. */
export function partner(
  table: AnswerTable,
  beside: readonly number[],
  prompt: number,
  model: number,
): number | undefined {
  const { meta, at } = table;
  const { seed, arm } = meta.models[model]!;
  return beside.find((other) => {
    const its = meta.models[other]!;
    const alike = seed === null || its.seed === null || its.seed === seed;
    return its.arm !== arm && alike && at[prompt * meta.models.length + other]! >= 0;
  });
}

type Word = keyof NonNullable<Selection['tally']>;

/** What is said of `model` against `other`: A is better, B is worse. */
export function verdictOf(
  table: AnswerTable,
  { judge }: Pick<AnswerFilter, 'judge'>,
): (prompt: number, model: number, other: number) => Word {
  const { meta, verdicts } = table;
  if (judge === '') return (prompt, model, other) => byPrograms(table, prompt, model, other);
  const pairs = meta.verdicts.flatMap((pair, at) =>
    judgeName(pair) === judge ? [{ ...pair, column: verdicts[at]! }] : [],
  );
  return (prompt, model, other) => {
    for (const { a, b, column } of pairs) {
      const word = PAIR_VERDICTS[column[prompt] ?? 0]!;
      if (word === 'none' || word === 'invalid') continue;
      if (a === model && b === other) return word;
      if (a === other && b === model) return word === 'A' ? 'B' : word === 'B' ? 'A' : 'tie';
    }
    return 'none';
  };
}

/** By the rules of the report's tables: chrF's verdict, overruled by the languages. */
function byPrograms({ meta, answers, at }: AnswerTable, prompt: number, model: number, other: number): Word {
  const [a, b] = [model, other].map((each) => at[prompt * meta.models.length + each]!) as [number, number];
  const verdict = scoreVerdict(answers.chrf[a], answers.chrf[b], { measure: 'chrf' });
  const points = pairPoints(verdict, verdict);
  if (points === undefined) return 'none';
  const gated = gatedPoints(points, stateOf(answers.state[a]!), stateOf(answers.state[b]!));
  return gated === 1 ? 'A' : gated === 0 ? 'B' : 'tie';
}

function stateOf(state: number): LanguageState {
  const name = ANSWER_STATES[state];
  return name === undefined || name === 'unmeasured' ? 'undecided' : name;
}
