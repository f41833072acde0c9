// The browser of answers: what the controls say becomes a selection, a page of it is shown, the address follows.
import { unpackBytes, unpackJson } from '../../../page/client/unpack';
import { type AnswersMeta, BLOCKS, type PackedAnswer, type PackedPrompt } from '../answer-data';
import {
  type AnswerFilter,
  type AnswerTable,
  answerTable,
  NO_FILTER,
  partner,
  placeFragment,
  readPlace,
  type Selection,
  selectAnswers,
  verdictOf,
} from '../answer-filter';
import { decodeAnswers } from '../answer-index';
import { type CardParts, promptArticle } from './cards';
import { Texts } from './texts';

/** Prompts on a page. */
const PER_PAGE = 20;
const TYPING_MS = 250;
/** How often a search says how far it is. */
const SAY_EVERY_MS = 500;

const VERDICTS: Readonly<Record<string, string>> = { A: 'better', tie: 'tie', B: 'worse' };

/** Shows the answers of this page, where it has any. Resolves when the first ones stand there. */
export async function showAnswers(): Promise<void> {
  if (document.getElementById('filters') === null) return;
  const meta = await unpackJson<AnswersMeta>(BLOCKS.meta);
  const [answers, prompts, verdicts] = await Promise.all(
    [BLOCKS.answers, BLOCKS.prompts, BLOCKS.verdicts].map(unpackBytes),
  );
  const promptLanguages = new Uint16Array(prompts!.buffer);
  const table = answerTable({
    meta,
    answers: decodeAnswers(answers!, meta.answers),
    promptLanguages,
    verdicts: meta.verdicts.map((_, at) =>
      verdicts!.subarray(at * promptLanguages.length, (at + 1) * promptLanguages.length),
    ),
  });
  await new AnswerView(table).open();
}

class AnswerView {
  readonly #table: AnswerTable;
  readonly #answers: Texts<PackedAnswer>;
  readonly #prompts: Texts<PackedPrompt>;
  readonly #section = find<HTMLElement>('answers');
  readonly #form = find<HTMLFormElement>('filters');
  readonly #count = find<HTMLElement>('answers-count');
  readonly #list = find<HTMLElement>('answers-list');
  readonly #pages = find<HTMLElement>('answers-pages');
  #filter = NO_FILTER;
  #page = 1;
  #selection: Selection;
  /** The last search: its words, and for each answer whether it or its prompt has them. */
  #searched: { words: string; has: Uint8Array } | undefined;
  /** Raised by whatever makes what is under way pointless. */
  #turn = 0;
  #typing: ReturnType<typeof setTimeout> | undefined;

  constructor(table: AnswerTable) {
    this.#table = table;
    this.#answers = new Texts(BLOCKS.answerTexts, table.meta.answerStarts);
    this.#prompts = new Texts(BLOCKS.promptTexts, table.meta.promptStarts);
    this.#selection = selectAnswers(table, NO_FILTER, undefined);
  }

  async open(): Promise<void> {
    this.#form.hidden = false;
    this.#form.addEventListener('submit', (event) => event.preventDefault());
    this.#form.addEventListener('change', ({ target }) => {
      // What only shows more leaves its reader on the page.
      const page = target === this.#control('references') ? this.#page : 1;
      void this.#ask(this.#said(), page);
    });
    this.#form.addEventListener('input', (event) => {
      if (event.target !== this.#control('words')) return;
      clearTimeout(this.#typing);
      this.#typing = setTimeout(() => void this.#ask(this.#said(), 1), TYPING_MS);
    });
    this.#form.addEventListener('reset', () => void this.#ask(NO_FILTER, 1));
    this.#button('previous').addEventListener('click', () => void this.#turnTo(this.#page - 1));
    this.#button('next').addEventListener('click', () => void this.#turnTo(this.#page + 1));
    this.#pageInput().addEventListener('change', () => void this.#turnTo(Number(this.#pageInput().value)));
    this.#section.addEventListener('keydown', (event) => this.#key(event));
    window.addEventListener('hashchange', () => void this.#follow());
    await this.#follow();
  }

  /** To where the address leads. */
  async #follow(): Promise<void> {
    const place = readPlace(location.hash);
    if ('filter' in place) {
      this.#fill(place.filter);
      await this.#ask(place.filter, place.page);
      if (location.hash.startsWith('#answers?')) this.#section.scrollIntoView();
      return;
    }
    this.#fill(NO_FILTER);
    const at = await this.#promptAt(place.prompt);
    await this.#ask(NO_FILTER, at === undefined ? 1 : Math.floor(at / PER_PAGE) + 1, { keepAddress: true });
    if (at === undefined) this.#count.textContent = 'No prompt of this report has that link. All are shown.';
    else document.getElementById(`at-${place.prompt}`)?.closest('article')?.focus();
  }

  async #promptAt(key: string): Promise<number | undefined> {
    let found: number | undefined;
    await this.#prompts.each(
      (prompt, at) => {
        if (prompt.key === key) found = at;
      },
      () => found === undefined,
    );
    return found;
  }

  #said(): AnswerFilter {
    const said = new FormData(this.#form);
    return Object.fromEntries(
      Object.keys(NO_FILTER).map((name) => [name, String(said.get(name) ?? '')]),
    ) as unknown as AnswerFilter;
  }

  #fill(filter: AnswerFilter): void {
    for (const [name, value] of Object.entries(filter)) {
      const control = this.#control(name);
      if (control instanceof HTMLInputElement && control.type === 'checkbox')
        control.checked = value === control.value;
      else if (control !== null) control.value = value;
    }
  }

  async #ask(filter: AnswerFilter, page: number, { keepAddress = false } = {}): Promise<void> {
    clearTimeout(this.#typing);
    this.#turn += 1;
    const turn = this.#turn;
    const has = await this.#search(filter.words, turn);
    if (turn !== this.#turn) return;
    this.#filter = filter;
    this.#selection = selectAnswers(this.#table, filter, has);
    this.#count.textContent = this.#countText();
    await this.#show(page, keepAddress);
  }

  async #turnTo(page: number): Promise<void> {
    this.#turn += 1;
    await this.#show(page, false);
    this.#list.scrollIntoView({ block: 'start' });
  }

  async #search(words: string, turn: number): Promise<Uint8Array | undefined> {
    if (words === '') return undefined;
    if (this.#searched?.words === words) return this.#searched.has;
    const { meta, answers, promptLanguages } = this.#table;
    const wanted = words.toLowerCase();
    const asked = new Uint8Array(promptLanguages.length);
    let last = performance.now();
    const look = (fraction: number): boolean => {
      if (performance.now() - last > SAY_EVERY_MS) {
        last = performance.now();
        this.#count.textContent = `Searching, ${Math.round(100 * fraction)} % …`;
      }
      return turn === this.#turn;
    };
    const has = new Uint8Array(meta.answers);
    const whole =
      (await this.#prompts.each(({ text, item, reference = '' }, at) => {
        if ([text, item, reference].some((each) => each.toLowerCase().includes(wanted))) asked[at] = 1;
      }, look)) &&
      (await this.#answers.each(([text], at) => {
        if (asked[answers.prompt[at]!] === 1 || text.toLowerCase().includes(wanted)) has[at] = 1;
      }, look));
    if (whole) this.#searched = { words, has };
    return has;
  }

  #countText(): string {
    const { prompts, answers, tally } = this.#selection;
    const all = this.#table.meta;
    const ofPrompts = `${number(prompts.length)} of ${number(this.#table.promptLanguages.length)} prompts`;
    const ofAnswers = `${number(answers)} of ${number(all.answers)} answers`;
    const verdicts =
      tally === undefined
        ? ''
        : ` Beside the other: better in ${number(tally.A)}, tie in ${number(tally.tie)}, worse in ${number(tally.B)}${tally.none === 0 ? '' : `, no verdict in ${number(tally.none)}`}.`;
    const asked =
      this.#filter.verdict !== '' && tally === undefined ? ' Choose a model beside it for verdicts.' : '';
    return `${ofPrompts}, ${ofAnswers}.${verdicts}${asked}`;
  }

  async #show(wanted: number, keepAddress: boolean): Promise<void> {
    const turn = this.#turn;
    const { prompts } = this.#selection;
    const pages = Math.max(1, Math.ceil(prompts.length / PER_PAGE));
    const page = Math.min(pages, Math.max(1, Math.floor(wanted) || 1));
    const shown = prompts.slice((page - 1) * PER_PAGE, page * PER_PAGE);
    const articles = await Promise.all(shown.map((prompt) => this.#article(prompt)));
    if (turn !== this.#turn) return;
    this.#page = page;
    this.#list.replaceChildren(...articles);
    this.#pages.hidden = false;
    this.#button('previous').disabled = page === 1;
    this.#button('next').disabled = page === pages;
    this.#pageInput().value = String(page);
    this.#pageInput().max = String(pages);
    find('answers-page-count').textContent = `of ${number(pages)}`;
    if (!keepAddress) {
      const fragment = placeFragment(this.#filter, page);
      const elsewhere = location.hash !== '' && !/^#(answers\?|at=)/.test(location.hash);
      if (fragment !== '' || !elsewhere) {
        const address = fragment === '' ? location.href.replace(/#.*$/s, '') : fragment;
        history.replaceState(history.state, '', address);
      }
    }
  }

  async #article(prompt: number): Promise<HTMLElement> {
    const { meta, answers, promptLanguages, at } = this.#table;
    const { models, beside, found } = this.#selection;
    const compare = beside.length > 0 ? verdictOf(this.#table, this.#filter) : undefined;
    const cards: CardParts[] = [];
    for (const model of [...models, ...beside.filter((other) => !models.includes(other))]) {
      const answer = at[prompt * meta.models.length + model]!;
      if (answer < 0) continue;
      const other = partner(this.#table, beside, prompt, model);
      const word =
        models.includes(model) && other !== undefined ? compare?.(prompt, model, other) : undefined;
      cards.push({
        model,
        answer: await this.#answers.get(answer),
        language: answers.language[answer]!,
        state: answers.state[answer]!,
        found: found[answer] === 1 && this.#isFiltered(),
        verdict: word === undefined ? undefined : VERDICTS[word],
      });
    }
    const packed = await this.#prompts.get(prompt);
    return promptArticle(meta, packed, promptLanguages[prompt]!, cards, this.#filter);
  }

  /** Whether the filters choose among the answers to one prompt. */
  #isFiltered(): boolean {
    const { answered, verdict, words } = this.#filter;
    return answered !== '' || verdict !== '' || words !== '';
  }

  #key(event: KeyboardEvent): void {
    const { key, ctrlKey, altKey, metaKey, target } = event;
    const typing = target instanceof HTMLInputElement || target instanceof HTMLSelectElement;
    if (ctrlKey || altKey || metaKey || typing) return;
    if (key === 'j' || key === 'k') this.#step(key === 'j' ? 1 : -1);
    else if (key === 'n' || key === 'p') {
      const to = this.#page + (key === 'n' ? 1 : -1);
      void this.#turnTo(to).then(() => this.#articles()[0]?.focus());
    } else if (key === '/') this.#control('words')?.focus();
    else return;
    event.preventDefault();
  }

  #step(by: 1 | -1): void {
    const articles = this.#articles();
    const now = articles.findIndex((article) => article.contains(document.activeElement));
    const next = now < 0 ? (by === 1 ? 0 : articles.length - 1) : now + by;
    articles[Math.min(articles.length - 1, Math.max(0, next))]?.focus();
  }

  #articles(): HTMLElement[] {
    return [...this.#list.querySelectorAll<HTMLElement>('article')];
  }

  #control(name: string): HTMLInputElement | HTMLSelectElement | null {
    return this.#form.querySelector(`[name="${name}"]`);
  }

  #button(name: string): HTMLButtonElement {
    return this.#pages.querySelector(`button[name="${name}"]`)!;
  }

  #pageInput(): HTMLInputElement {
    return this.#pages.querySelector('input')!;
  }
}

function find<T extends HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`this page has no element ${id}`);
  return found as T;
}

const number = (value: number): string => value.toLocaleString('en-US');
