// One question, as elements: the prompt, one or two answers in the direction of their language, and the ways to answer.
import type { Label, PageQuestion, Session } from '../protocol';
import { button, element } from './elements';
import { type Answer, answersOf, roleName } from './words';

/** A question's place, for its heading. */
export interface Place {
  /** From 1. */
  number: number;
  of: number;
}

/** What stands above the buttons. */
export function questionView(session: Session, question: PageQuestion, { number, of }: Place): Node[] {
  const { code, lang, dir, prompt, answers, label } = question;
  const known = session.languages.find((language) => language.code === code);
  const where = `Question ${number} of ${of}${known === undefined ? '' : `, ${known.name}`}`;
  const text = (content: string): HTMLElement =>
    content === ''
      ? element('p', { class: 'quiet' }, '(no text)')
      : element('p', { class: 'text', lang, dir }, content);
  const turns = prompt.flatMap(({ role, content }) =>
    prompt.length === 1 ? [text(content)] : [element('p', { class: 'role' }, roleName(role)), text(content)],
  );
  const titles = session.kind === 'rate' ? ['Answer'] : ['First answer', 'Second answer'];
  const chosen = (at: number): boolean =>
    (label === 'first' && at === 0) || (label === 'second' && at === 1) || label === 'tie';
  return [
    element('h2', { id: 'where', tabindex: '-1' }, where),
    element(
      'section',
      { class: 'prompt', 'aria-labelledby': 'prompt' },
      element('h2', { id: 'prompt' }, 'Prompt'),
      ...turns,
    ),
    element(
      'div',
      { class: 'answers' },
      ...answers.map((answer, at) =>
        element(
          'section',
          { 'aria-labelledby': `answer${at}`, 'data-chosen': chosen(at) ? 'true' : 'false' },
          element('h2', { id: `answer${at}` }, titles[at] as string),
          text(answer),
        ),
      ),
    ),
  ];
}

/** What can be done with a question. */
export interface Acts {
  answer(answer: Answer): void;
  back(): void;
  on(): void;
  undo(): void;
}

/** The bar of buttons; each says which key does the same. */
export function actionBar(session: Session, label: Label | null, acts: Acts): HTMLElement {
  const key = (name: string): HTMLElement => element('kbd', { 'aria-hidden': 'true' }, name);
  const answers = answersOf(session).map((answer) => {
    const shown = answer.keys[0] as string;
    const attributes = {
      'aria-pressed': String(answer.label === label),
      'aria-keyshortcuts': answer.keys.join(' '),
    };
    return button(attributes, () => acts.answer(answer), answer.name, ' ', key(shown.toUpperCase()));
  });
  const moves = [
    button({ 'aria-keyshortcuts': 'ArrowLeft' }, acts.back, 'Back ', key('←')),
    button({ 'aria-keyshortcuts': 'ArrowRight' }, acts.on, 'Forward ', key('→')),
    button({ 'aria-keyshortcuts': 'u Control+z' }, acts.undo, 'Undo ', key('U')),
  ];
  return element(
    'div',
    { class: 'actions', role: 'group', 'aria-label': 'Your answer' },
    ...answers,
    element('span', { class: 'move' }, ...moves),
  );
}
