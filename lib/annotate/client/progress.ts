// How far somebody has come, in all and by language.
import type { PageQuestion, Session } from '../protocol';
import { element } from './elements';

/** The bar above the question. */
export function progressBar(questions: readonly PageQuestion[]): (Node | string)[] {
  const done = questions.filter(({ label }) => label !== null).length;
  const text = `${done} of ${questions.length} answered`;
  return [
    element('progress', {
      max: String(Math.max(questions.length, 1)),
      value: String(done),
      'aria-label': 'Answered',
    }),
    ` ${text}`,
  ];
}

/** The same by language, to be opened below. */
export function progressTable(session: Session, questions: readonly PageQuestion[]): HTMLElement {
  const rows = session.languages.flatMap(({ code, name }) => {
    const own = questions.filter((question) => question.code === code);
    if (own.length === 0) return [];
    const done = own.filter(({ label }) => label !== null).length;
    return [
      element(
        'tr',
        {},
        element('th', { scope: 'row' }, name),
        element('td', {}, String(done)),
        element('td', {}, String(own.length)),
      ),
    ];
  });
  const head = ['Language', 'answered', 'of'].map((title) => element('th', { scope: 'col' }, title));
  return element(
    'details',
    {},
    element('summary', {}, 'Progress by language'),
    element('table', {}, element('thead', {}, element('tr', {}, ...head)), element('tbody', {}, ...rows)),
  );
}
