// The closed list of what is measured of an answer. Tables, tests of difference and plots take names, units and directions
// from here, so that no two of them can mean different things by one word. docs/measures.md has the long form.

/** How the items of a cell become its number. */
export type MeasureAggregate =
  /** Mean over the items that have the measure. */
  | { readonly kind: 'mean' }
  /** Sum of one measure over sum of another, over the items that have both: a long item weighs more. */
  | { readonly kind: 'ratio'; readonly numerator: string; readonly denominator: string };

/** What has to be known of a measure to compute and to show it. */
export interface MeasureDefinition {
  /** For headers. */
  readonly label: string;
  /** Of the number as it is shown, after `scale`. */
  readonly unit:
    | '%'
    | 'points'
    | 'nats/byte'
    | 'nats/token'
    | 'nats'
    | 'characters'
    | 'tokens'
    | 'words'
    | 'bytes';
  /** What stored values are multiplied by when shown: 100 for shares. */
  readonly scale: number;
  readonly better: 'higher' | 'lower' | 'none';
  readonly aggregate: MeasureAggregate;
  /** Largest possible stored value; the smallest is 0. Absent: no bound. */
  readonly most?: number;
  /** `references`: only where the evaluation set has an answer of its own; `labels` and `checks`: only where a record has those. */
  readonly needs: 'answer' | 'references' | 'labels' | 'checks' | 'likelihood';
  /** One sentence. */
  readonly about: string;
}

const MEAN = { kind: 'mean' } as const;
const share = { unit: '%', scale: 100, most: 1, aggregate: MEAN } as const;
const points = { unit: 'points', scale: 1, most: 100, aggregate: MEAN } as const;
const amount = { scale: 1, aggregate: MEAN, better: 'none' } as const;

/** All measures by name: label, unit, direction, what they need. */
export const MEASURES = {
  exactMatch: {
    ...share,
    label: 'exact match',
    better: 'higher',
    needs: 'references',
    about: 'The answer equals the reference after NFKC, lower case, and without punctuation and symbols.',
  },
  exactMatchStrict: {
    ...share,
    label: 'exact match, strict',
    better: 'higher',
    needs: 'references',
    about: 'The answer equals the reference character by character, blanks at the ends aside.',
  },
  chrf: {
    ...points,
    label: 'chrF',
    better: 'higher',
    needs: 'references',
    about:
      'F-score (β = 2) of shared character n-grams up to 6, as sacreBLEU computes it for a sentence, after NFKC and lower case.',
  },
  rougeL: {
    ...points,
    label: 'ROUGE-L',
    better: 'higher',
    needs: 'references',
    about:
      'F-score of the longest common subsequence of words, words by Unicode’s rules and the language’s dictionary.',
  },
  labelCorrect: {
    ...share,
    label: 'label accuracy',
    better: 'higher',
    needs: 'labels',
    about: 'The right label has the highest log-likelihood given the prompt.',
  },
  labelCorrectPerByte: {
    ...share,
    label: 'label accuracy, per byte',
    better: 'higher',
    needs: 'labels',
    about: 'The right label has the highest log-likelihood per UTF-8 byte given the prompt.',
  },
  labelAnswered: {
    ...share,
    label: 'label answered',
    better: 'higher',
    needs: 'labels',
    about: 'The answer names the right label, and no other of the set.',
  },
  instructionPass: {
    ...share,
    label: 'instructions kept',
    better: 'higher',
    needs: 'checks',
    about: 'The answer passes every check of the record that can be decided.',
  },
  instructionPassLoose: {
    ...share,
    label: 'instructions kept, loosely',
    better: 'higher',
    needs: 'checks',
    about: 'The same, where asterisks, a first line and a last line may be taken off before each check.',
  },
  languageMatch: {
    ...share,
    label: 'language match',
    better: 'higher',
    needs: 'answer',
    about: 'The answer is in the language of the prompt; answers of which no rule settles that are left out.',
  },
  languageUndecided: {
    ...share,
    label: 'language undecided',
    better: 'none',
    needs: 'answer',
    about: 'No rule settles whether the answer is in the language of the prompt.',
  },
  referenceLanguageMatch: {
    ...share,
    label: 'language match of references',
    better: 'none',
    needs: 'references',
    about: 'The reference is found to be in the language of its prompt: what the rule can reach on this set.',
  },
  lineLanguagePass: {
    ...share,
    label: 'line-level pass',
    better: 'higher',
    needs: 'answer',
    about:
      'Every line of at least 5 words is in the language of the prompt, by script or identification; answers without such a line are left out.',
  },
  wordLanguagePass: {
    ...share,
    label: 'word-level pass',
    better: 'higher',
    needs: 'answer',
    about:
      'No lower-case Latin word of four letters or more, among answers that pass line by line; only in languages of other scripts.',
  },
  latinWordRate: {
    ...share,
    label: 'Latin-script words',
    better: 'none',
    needs: 'answer',
    about: 'Share of words in Latin script; only in languages of other scripts.',
  },
  codeSwitch: {
    ...share,
    label: 'code-switching',
    better: 'lower',
    needs: 'answer',
    about:
      'A tenth of the answer’s words or more are in another script than most, or its lines are identified as different languages.',
  },
  empty: {
    ...share,
    label: 'empty',
    better: 'lower',
    needs: 'answer',
    about: 'The answer has nothing but blanks.',
  },
  truncated: {
    ...share,
    label: 'truncated',
    better: 'lower',
    needs: 'answer',
    about: 'The answer was ended by the limit of new tokens or of the model’s context.',
  },
  repetition: {
    ...share,
    label: 'repetition',
    better: 'lower',
    needs: 'answer',
    about: 'Share of the answer’s word 4-grams that occurred before in it.',
  },
  loop: {
    ...share,
    label: 'ends in a loop',
    better: 'lower',
    needs: 'answer',
    about:
      'The answer ends in one stretch of at most 64 tokens that comes at least four times and covers at least 12 tokens.',
  },
  responseChars: {
    ...amount,
    unit: 'characters',
    label: 'characters',
    needs: 'answer',
    about: 'Code points of the answer.',
  },
  responseTokens: {
    ...amount,
    unit: 'tokens',
    label: 'tokens',
    needs: 'answer',
    about: 'Tokens that the model drew, the one that ended the answer included.',
  },
  responseWords: {
    ...amount,
    unit: 'words',
    label: 'words',
    needs: 'answer',
    about: 'Words of the answer by Unicode’s rules and the language’s dictionary.',
  },
  nats: {
    ...amount,
    unit: 'nats',
    label: 'nats',
    better: 'lower',
    needs: 'likelihood',
    about: 'Negative log-likelihood of the reference given the prompt, its end-of-turn token included.',
  },
  bytes: {
    ...amount,
    unit: 'bytes',
    label: 'reference bytes',
    needs: 'likelihood',
    about: 'UTF-8 bytes of the reference.',
  },
  targetTokens: {
    ...amount,
    unit: 'tokens',
    label: 'reference tokens',
    needs: 'likelihood',
    about: 'Tokens of the reference, its end-of-turn token included.',
  },
  natsPerByte: {
    label: 'nats per byte',
    unit: 'nats/byte',
    scale: 1,
    better: 'lower',
    aggregate: { kind: 'ratio', numerator: 'nats', denominator: 'bytes' },
    needs: 'likelihood',
    about: 'Σ nats / Σ bytes of the references: comparable over languages whose tokens are not.',
  },
  natsPerToken: {
    label: 'nats per token',
    unit: 'nats/token',
    scale: 1,
    better: 'lower',
    aggregate: { kind: 'ratio', numerator: 'nats', denominator: 'targetTokens' },
    needs: 'likelihood',
    about: 'Σ nats / Σ tokens of the references: comparable within one language and one tokenizer only.',
  },
} as const satisfies Record<string, MeasureDefinition>;

/** Name of a measure. */
export type MeasureName = keyof typeof MEASURES;

/** Names of all measures, in the order in which they are shown. */
export const MEASURE_NAMES = Object.keys(MEASURES) as readonly MeasureName[];

/** Whether a text is the name of a measure. */
export function isMeasureName(name: string): name is MeasureName {
  return Object.hasOwn(MEASURES, name);
}

/** The definition behind a name, in its general form. */
export function measureDefinition(name: MeasureName): MeasureDefinition {
  return MEASURES[name];
}

/**
 * What one item adds to a cell: the cell's stored value is Σ numerator / Σ denominator over its items, for every measure
 * (a mean's denominators are 1). `undefined` where the measure does not apply to the item, which then is not in the cell's n.
 */
export function measureTerms(
  name: MeasureName,
  measures: Readonly<Record<string, number>>,
): { numerator: number; denominator: number } | undefined {
  const { aggregate } = measureDefinition(name);
  if (aggregate.kind === 'mean') {
    const value = measures[name];
    return value === undefined ? undefined : { numerator: value, denominator: 1 };
  }
  const numerator = measures[aggregate.numerator];
  const denominator = measures[aggregate.denominator];
  return numerator === undefined || denominator === undefined ? undefined : { numerator, denominator };
}
