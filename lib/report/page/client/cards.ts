// A prompt with its answers as elements. Every text becomes a text node: nothing here parses markup.
import { languageAttributes } from '../../../page/direction';
import type { AnswersMeta, PackedAnswer, PackedPrompt } from '../answer-data';
import { ANSWER_STATES } from '../answer-index';

type Child = Node | string;

/** An element with attributes and children; a text is a text. */
export function element<K extends keyof HTMLElementTagNameMap>(
  name: K,
  attributes: Readonly<Record<string, string>> = {},
  ...children: readonly Child[]
): HTMLElementTagNameMap[K] {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/** What a card shows of one answer. */
export interface CardParts {
  model: number;
  answer: PackedAnswer;
  /** Place of its language. */
  language: number;
  state: number;
  /** It is what the filters ask for. */
  found: boolean;
  /** Against the one beside it, in words. */
  verdict: string | undefined;
}

/** A prompt, with the words of a search marked; a reference in which they are stands open. */
export function promptArticle(
  meta: AnswersMeta,
  prompt: PackedPrompt,
  language: number,
  cards: readonly CardParts[],
  { words, references }: { words: string; references: string },
): HTMLElement {
  const { code, name } = meta.languages[language]!;
  const title = `at-${prompt.key}`;
  const link = element('a', { href: `#at=${prompt.key}` }, prompt.item);
  return element(
    'article',
    { class: 'prompt', tabindex: '-1', 'aria-labelledby': title },
    element('h3', { id: title }, link, ' ', element('span', { class: 'quiet' }, `${name} (${code})`)),
    element('p', { class: 'asked text', ...languageAttributes(code) }, ...marked(prompt.text, words)),
    ...referenceOf(prompt, code, { words, open: references === 'shown' }),
    element('ul', { class: 'cards' }, ...cards.map((card) => cardOf(meta, card, words))),
  );
}

function referenceOf(
  { reference }: PackedPrompt,
  code: string,
  { words, open }: { words: string; open: boolean },
): Child[] {
  if (reference === undefined) return [];
  const isFound = words !== '' && reference.toLowerCase().includes(words.toLowerCase());
  return [
    element(
      'details',
      { class: 'reference', ...((open || isFound) && { open: '' }) },
      element('summary', {}, 'Reference'),
      reference.trim() === ''
        ? element('p', { class: 'empty-answer' }, 'empty reference')
        : element('p', { class: 'text', ...languageAttributes(code) }, ...marked(reference, words)),
    ),
  ];
}

const STATES: Readonly<Record<(typeof ANSWER_STATES)[number], string>> = {
  unmeasured: '',
  right: 'in the prompt’s language',
  wrong: 'in another language',
  undecided: 'language undecided',
};

function cardOf(meta: AnswersMeta, card: CardParts, words: string): HTMLElement {
  const [text, ...values] = card.answer;
  const { label, seed } = meta.models[card.model]!;
  const language = meta.answerLanguages[card.language]!;
  const known = language.code === 'undecided' || language.code === '' ? 'und' : language.code;
  const state = ANSWER_STATES[card.state]!;
  const facts = values.flatMap((value, at) => {
    const { label: name, unit } = meta.measures[at]!;
    return value === null ? [] : [`${name}: ${value}${unit === '' ? '' : ` ${unit}`}`];
  });
  const said = STATES[state] === '' ? [] : [stateOf(state, known === 'und' ? '' : language.name)];
  return element(
    'li',
    { class: card.found ? 'card found' : 'card' },
    element('h4', {}, seed === null ? label : `${label}, seed ${seed}`),
    text.trim() === ''
      ? element('p', { class: 'empty-answer' }, 'empty answer')
      : element('p', { class: 'text', ...languageAttributes(known) }, ...marked(text, words)),
    element(
      'p',
      { class: 'facts' },
      ...said,
      [...(said.length > 0 && facts.length > 0 ? [''] : []), ...facts].join(' · '),
      ...(card.verdict === undefined ? [] : [element('strong', {}, ` · ${card.verdict}`)]),
    ),
  );
}

function stateOf(state: (typeof ANSWER_STATES)[number], language: string): Child {
  const mark = state === 'wrong' ? '✗ ' : state === 'right' ? '✓ ' : '';
  const words = `${mark}${STATES[state]}${state === 'wrong' && language !== '' ? ` (${language})` : ''}`;
  return element('span', { class: `state-${state}` }, words);
}

/** A text with what was searched for marked; unmarked where lower case has another length. */
export function marked(text: string, words: string): Child[] {
  const [folded, wanted] = [text.toLowerCase(), words.toLowerCase()];
  if (wanted === '' || folded.length !== text.length) return [text];
  const children: Child[] = [];
  let from = 0;
  for (let at = folded.indexOf(wanted); at >= 0; at = folded.indexOf(wanted, from)) {
    children.push(text.slice(from, at), element('mark', {}, text.slice(at, at + wanted.length)));
    from = at + wanted.length;
  }
  return [...children, text.slice(from)];
}
