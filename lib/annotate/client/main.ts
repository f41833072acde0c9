// The page on which people judge answers: one question at a time, by keys or by touch. The server knows how far each person has come,
// so this window keeps no more than a name, the languages and what it can undo.
import type { Label, LabelRequest, PageQuestion, Questions, Refusal, Session } from '../protocol';
import { element, found } from './elements';
import { isTyping, keyOf } from './keys';
import { Outbox } from './outbox';
import { progressBar, progressTable } from './progress';
import { actionBar, questionView } from './question';
import { type Starting, startAgain, startForm } from './start';
import { type Answer, answersOf, guideOf, headingOf } from './words';

const MEMORY = 'mlit-annotate';

/** A label as it was before this window changed it. */
interface Change {
  key: string;
  before: Label | null;
}

class Page {
  readonly #session: Session;
  readonly #person: string;
  readonly #questions: PageQuestion[];
  readonly #outbox: Outbox;
  readonly #changes: Change[] = [];
  readonly #onAgain: () => void;
  #shortcuts = true;
  #at: number;

  constructor(session: Session, { person, questions }: Questions, onAgain: () => void) {
    this.#session = session;
    this.#person = person;
    this.#questions = questions;
    this.#onAgain = onAgain;
    this.#at = Math.max(this.#nextOpen(-1), 0);
    this.#outbox = new Outbox(session.token, () => renewed(session), {
      onSaved: ({ label }) => this.#saved(label),
      onConflict: (request, label) => this.#conflict(request, label),
      onRefused: (request, message) => this.#refused(request, message),
      onWaiting: (count) =>
        count === 0
          ? say('Saved.')
          : say(
              `Not saved yet: the server does not answer. Trying again (${count} waiting); leave this page open.`,
              'bad',
            ),
    });
    document.addEventListener('keydown', (event) => this.#key(event), { signal: leaving.signal });
    window.addEventListener('beforeunload', (event) => this.#outbox.size > 0 && event.preventDefault(), {
      signal: leaving.signal,
    });
    document.addEventListener('visibilitychange', () => void this.#catchUp(), { signal: leaving.signal });
    this.#show(false);
  }

  /** The next question without a label, from behind `at` on and then from the first; −1 where there is none. */
  #nextOpen(at: number): number {
    const open = (question: PageQuestion): boolean => question.label === null;
    const behind = this.#questions.findIndex((question, place) => place > at && open(question));
    return behind >= 0 ? behind : this.#questions.findIndex(open);
  }

  #answer({ label }: Answer): void {
    const question = this.#questions[this.#at];
    if (question === undefined) return;
    if (question.label !== label) {
      this.#changes.push({ key: question.key, before: question.label });
      this.#put(question, label);
    }
    const next = this.#nextOpen(this.#at);
    this.#at = next >= 0 ? next : this.#questions.length;
    this.#show(true);
  }

  /** On the page at once, on the server as soon as it answers. */
  #put(question: PageQuestion, label: Label | null): void {
    const was = question.label;
    question.label = label;
    this.#outbox.post({ person: this.#person, key: question.key, label, was });
  }

  #undo(): void {
    const change = this.#changes.pop();
    if (change === undefined) {
      say('There is nothing to undo in this window. Go back with ← to change an answer.');
      return;
    }
    this.#at = this.#questions.findIndex(({ key }) => key === change.key);
    this.#put(this.#questions[this.#at]!, change.before);
    say('Undone.');
    this.#show(true);
  }

  #move(by: number): void {
    const last = this.#questions.length - (this.#nextOpen(-1) < 0 ? 0 : 1);
    this.#at = Math.min(Math.max(this.#at + by, 0), last);
    this.#show(true);
  }

  #key(event: KeyboardEvent): void {
    if (!this.#shortcuts || isTyping(event.target)) return;
    const key = keyOf(event);
    if (key === undefined) return;
    const answer = answersOf(this.#session).find(({ keys }) => keys.includes(key));
    if (answer !== undefined) this.#answer(answer);
    else if (key === 'u') this.#undo();
    else if (key === 'ArrowLeft') this.#move(-1);
    else if (key === 'ArrowRight') this.#move(1);
    else return;
    event.preventDefault();
  }

  #saved(label: Label | null): void {
    const said = answersOf(this.#session).find((answer) => answer.label === label)?.said;
    say(said === undefined ? 'Taken back.' : `Saved: ${said}.`);
  }

  /** Another window was first: its answer stays, and is shown. */
  #conflict({ key }: LabelRequest, label: Label | null): void {
    const question = this.#question(key);
    if (question === undefined) return;
    question.label = label;
    this.#forget(key);
    this.#at = this.#questions.indexOf(question);
    this.#show(true);
    const said = answersOf(this.#session).find((answer) => answer.label === label)?.said ?? 'nothing yet';
    say(`You answered this one in another window: ${said}. That stays; answer again to change it.`, 'bad');
  }

  #refused({ key, was }: LabelRequest, message: string): void {
    const question = this.#question(key);
    if (question !== undefined) question.label = was;
    this.#forget(key);
    this.#show(true);
    say(`Not saved: ${message}`, 'bad');
  }

  #question(key: string): PageQuestion | undefined {
    return this.#questions.find((question) => question.key === key);
  }

  #forget(key: string): void {
    const kept = this.#changes.filter((change) => change.key !== key);
    this.#changes.splice(0, this.#changes.length, ...kept);
  }

  /** Takes over what other windows of this person have answered meanwhile. */
  async #catchUp(): Promise<void> {
    if (document.visibilityState !== 'visible' || this.#outbox.size > 0) return;
    const now = await fetchQuestions(this.#person).catch(() => undefined);
    if (now === undefined || this.#outbox.size > 0) return;
    let changed = 0;
    for (const { key, label } of now.questions) {
      const question = this.#question(key);
      if (question === undefined || question.label === label) continue;
      question.label = label;
      this.#forget(key);
      changed += 1;
    }
    if (changed === 0) return;
    this.#show(false);
    say(`${changed} ${changed === 1 ? 'answer' : 'answers'} came in from another window.`);
  }

  #show(moved: boolean): void {
    const question = this.#questions[this.#at];
    const place = { number: this.#at + 1, of: this.#questions.length };
    found('question').replaceChildren(
      ...(question === undefined ? this.#end() : questionView(this.#session, question, place)),
    );
    found('progress').replaceChildren(...progressBar(this.#questions));
    const acts = {
      answer: (answer: Answer) => this.#answer(answer),
      back: () => this.#move(-1),
      on: () => this.#move(1),
      undo: () => this.#undo(),
    };
    const bar = actionBar(this.#session, question?.label ?? null, acts);
    found('actions').replaceChildren(bar);
    found('below').replaceChildren(
      progressTable(this.#session, this.#questions),
      element(
        'details',
        {},
        element('summary', {}, 'What to go by'),
        element('p', {}, guideOf(this.#session)),
      ),
      this.#shortcutsBox(),
      startAgain(this.#person, () => this.#again()),
    );
    if (!moved) return;
    // Whoever listens hears the new question, whoever looks is at its top.
    found('where').focus({ preventScroll: true });
    window.scrollTo({ top: 0, behavior: 'instant' });
  }

  #again(): void {
    if (this.#outbox.size === 0) this.#onAgain();
    else say('Some answers are not saved yet; wait until they are.', 'bad');
  }

  #end(): Node[] {
    return [
      element('h2', { id: 'where', tabindex: '-1' }, 'All answered'),
      element(
        'p',
        {},
        'Thank you. Every answer is saved; you may close this page, or go back with ← to change one.',
      ),
    ];
  }

  #shortcutsBox(): HTMLElement {
    const box = element('input', { type: 'checkbox', checked: this.#shortcuts });
    box.addEventListener('change', () => {
      this.#shortcuts = box.checked;
    });
    return element('p', {}, element('label', {}, box, ' Answer by keys'));
  }
}

let leaving = new AbortController();

function say(text: string, kind: 'good' | 'bad' = 'good'): void {
  const said = found('said');
  said.dataset.kind = kind;
  said.textContent = text;
}

async function fetchJson<T>(path: string): Promise<T> {
  const reply = await fetch(path, { headers: { accept: 'application/json' } });
  if (!reply.ok) throw new Error(((await reply.json()) as Refusal).error.message);
  return (await reply.json()) as T;
}

function fetchQuestions(person: string): Promise<Questions> {
  return fetchJson(`api/questions?${new URLSearchParams({ person })}`);
}

async function renewed({ task }: Session): Promise<Session | undefined> {
  const session = await fetchJson<Session>('api/session');
  return session.task === task ? session : undefined;
}

function remembered(): Partial<Starting> {
  try {
    return JSON.parse(localStorage.getItem(MEMORY) ?? '{}') as Partial<Starting>;
  } catch {
    return {};
  }
}

function remember(starting: Starting): void {
  try {
    localStorage.setItem(MEMORY, JSON.stringify(starting));
  } catch {
    // A browser that keeps nothing asks again.
  }
}

async function start(session: Session, starting: Starting): Promise<void> {
  const { person, questions } = await fetchQuestions(starting.person);
  remember({ person, languages: starting.languages });
  leaving.abort();
  leaving = new AbortController();
  const own = questions.filter(({ code }) => starting.languages.includes(code));
  say('');
  new Page(session, { person, questions: own }, () =>
    ask(session, { person, languages: starting.languages }),
  );
}

function ask(session: Session, before: Partial<Starting>): void {
  leaving.abort();
  for (const id of ['actions', 'below', 'progress']) found(id).replaceChildren();
  const failed = (error: unknown): void => say((error as Error).message, 'bad');
  found('question').replaceChildren(
    startForm(session, before, (starting) => void start(session, starting).catch(failed)),
  );
  found('name').focus();
}

async function open(): Promise<void> {
  const session = await fetchJson<Session>('api/session');
  found('title').textContent = headingOf(session);
  document.title = headingOf(session);
  const before = remembered();
  const person = session.person ?? before.person;
  const codes = session.languages.map(({ code }) => code);
  const languages = (before.languages ?? []).filter((code) => codes.includes(code));
  if (person !== undefined && languages.length > 0) {
    await start(session, { person, languages }).catch(() => ask(session, before));
  } else ask(session, { ...(person !== undefined && { person }), languages });
}

open().catch((error: unknown) =>
  say(`The server does not answer: ${(error as Error).message}. Reload the page.`, 'bad'),
);
