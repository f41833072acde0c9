// Who are you, and which languages do you read: asked once on each device, and kept there.
import type { Session } from '../protocol';
import { button, element } from './elements';
import { guideOf } from './words';

/** What was answered. */
export interface Starting {
  person: string;
  languages: string[];
}

/** The form; `onStart` is called with what was filled in. */
export function startForm(
  session: Session,
  before: Partial<Starting>,
  onStart: (answers: Starting) => void,
): HTMLElement {
  const name = element('input', {
    id: 'name',
    name: 'name',
    required: true,
    maxlength: '40',
    autocomplete: 'nickname',
    spellcheck: 'false',
    value: session.person ?? before.person ?? '',
    readonly: session.person !== null,
  });
  const boxes = session.languages.map(({ code, name: language, questions }) => {
    const box = element('input', {
      type: 'checkbox',
      value: code,
      checked: session.languages.length === 1 || (before.languages?.includes(code) ?? false),
    });
    const count = `${questions} ${questions === 1 ? 'question' : 'questions'}`;
    return {
      box,
      row: element('label', {}, box, ` ${language} `, element('span', { class: 'quiet' }, count)),
    };
  });
  const warning = element('p', { role: 'alert' });
  const form = element(
    'form',
    {},
    element('p', {}, guideOf(session)),
    element('p', {}, element('label', { for: 'name' }, 'Your name or initials'), element('br'), name),
    element(
      'fieldset',
      {},
      element('legend', {}, 'Languages that you read well'),
      ...boxes.map(({ row }) => row),
    ),
    warning,
    element('p', {}, element('button', { type: 'submit' }, 'Start')),
  );
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    const languages = boxes.filter(({ box }) => box.checked).map(({ box }) => box.value);
    if (languages.length === 0) {
      warning.textContent = 'Choose at least one language.';
      return;
    }
    onStart({ person: name.value, languages });
  });
  return form;
}

/** The way back to the form. */
export function startAgain(person: string, onAgain: () => void): HTMLElement {
  return element('p', {}, `You are ${person}. `, button({}, onAgain, 'Change name or languages'));
}
