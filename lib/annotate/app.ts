// What the page's server answers: the page, the questions as one person meets them, and labels. Whatever is sent from here is
// blind (protocol.ts).
import { z } from 'zod';
import { GRADES } from '../eval/grades';
import { newToken, sameSecret } from '../http/access';
import { readJson } from '../http/body';
import { type RefusalForm, Refused } from '../http/refused';
import { languageAttributes } from '../page/direction';
import { describeIssues } from '../text/issues';
import { languageName } from '../text/language-codes';
import type { LabelStore } from './labels';
import { foldName, personName, questionsOf } from './order';
import { annotationPage } from './page';
import type { Label, LabelReply, LabelRequest, PageQuestion, Questions, Refusal, Session } from './protocol';
import { type AnnotationTask, taskLanguages } from './task';

/** Of a label's body; a name and a key are all that is in it. */
const MAX_BODY_BYTES = 4096;

/** On everything that is sent. */
const HEADERS: Readonly<Record<string, string>> = {
  'cache-control': 'no-store',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
};

/** What is served to whom. */
export interface AnnotationAppOptions {
  task: AnnotationTask;
  labels: LabelStore;
  /** Who labels by this request; undefined where whoever opens the page says who. */
  personOf?: ((request: Request) => string | undefined) | undefined;
  /** Told of each new label when it is on the disk. */
  onLabel?: ((person: string, label: Label | null) => void) | undefined;
}

/** Answers requests for `/`, `/api/session`, `/api/questions` and `/api/label`. */
export function annotationApp(options: AnnotationAppOptions): (request: Request) => Promise<Response> {
  const { task } = options;
  const token = newToken();
  const labelSchema = z.enum(labelsOf(task)).nullable();
  const requestSchema = z.strictObject({
    person: z.string(),
    key: z.string(),
    label: labelSchema,
    was: labelSchema,
  });
  const session = sessionOf(task, token);

  const label = async (request: Request): Promise<Response> => {
    if (!/^application\/json\b/i.test(request.headers.get('content-type') ?? ''))
      throw new Refused(415, 'a label is sent as application/json');
    if (!sameSecret(request.headers.get('x-mlit-token') ?? '', token))
      throw new Refused(403, 'this label has not the token of this server; load the page again');
    const body = await readJson(request, MAX_BODY_BYTES);
    const read = requestSchema.safeParse(body);
    if (!read.success)
      throw new Refused(400, describeIssues(read.error, body, { known: Object.keys(requestSchema.shape) }));
    const wanted: LabelRequest = read.data;
    const person = nameIn(options, request, wanted.person);
    const submitted = await options.labels.submit(person, wanted);
    if (submitted === undefined)
      throw new Refused(404, 'this task has no such question; load the page again');
    if (submitted.came === 'new') options.onLabel?.(options.labels.spelling(person), submitted.label);
    return json({ label: submitted.label } satisfies LabelReply, submitted.came === 'late' ? 409 : 200);
  };

  return async (request) => {
    const { pathname, searchParams } = new URL(request.url);
    switch (pathname) {
      case '/': {
        allow(request, 'GET');
        const { body, headers } = annotationPage();
        return new Response(body, { headers: { ...HEADERS, ...headers } });
      }
      case '/api/session':
        allow(request, 'GET');
        return json({ ...session, person: options.personOf?.(request) ?? null } satisfies Session);
      case '/api/questions':
        allow(request, 'GET');
        return json(questionsFor(options, nameIn(options, request, searchParams.get('person') ?? '')));
      case '/api/label':
        allow(request, 'POST');
        return label(request);
      default:
        throw new Refused(404, 'there is nothing at this address');
    }
  };
}

/** Refusals as the page reads them. */
export const jsonRefusal: RefusalForm = ({ status, message, headers }) =>
  json({ error: { code: String(status), message } } satisfies Refusal, status, headers);

function json(value: object, status = 200, headers: Readonly<Record<string, string>> = {}): Response {
  return new Response(JSON.stringify(value), {
    status,
    headers: { ...HEADERS, ...headers, 'content-type': 'application/json; charset=utf-8' },
  });
}

function allow({ method }: Request, wanted: 'GET' | 'POST'): void {
  if (method !== wanted) throw new Refused(405, `this address takes ${wanted} alone`, { allow: wanted });
}

function labelsOf({ kind, ties }: AnnotationTask): Label[] {
  if (kind === 'rate') return [...GRADES, 'none'];
  return ['first', 'second', ...(ties ? (['tie'] as const) : []), 'none'];
}

function nameIn({ personOf, labels }: AnnotationAppOptions, request: Request, given: string): string {
  const name = personName(given);
  if (name === undefined)
    throw new Refused(
      400,
      'expected a name of up to 40 letters, digits and blanks that begins with a letter or a digit',
    );
  const person = personOf?.(request);
  if (person !== undefined && foldName(person) !== foldName(name))
    throw new Refused(403, 'this page is for somebody else');
  return labels.spelling(person ?? name);
}

function sessionOf(task: AnnotationTask, token: string): Omit<Session, 'person'> {
  const questions = questionsOf(task);
  return {
    kind: task.kind,
    ties: task.ties,
    token,
    // Not the task's hash itself: what questions are called by is made of it, and must not be made anew outside.
    task: questions[0]?.key ?? '',
    languages: taskLanguages(task).map((code) => ({
      code,
      name: languageName(code),
      questions: questions.filter(({ item }) => task.items[item]!.lang === code).length,
    })),
  };
}

function questionsFor({ task, labels }: AnnotationAppOptions, person: string): Questions {
  const questions = labels.questions(person).map(({ key, item, model, swapped, label }): PageQuestion => {
    const { lang, prompt, answers } = task.items[item]!;
    const shown = model === undefined ? [...answers] : [answers[model]!];
    if (swapped) shown.reverse();
    return { key, code: lang, ...languageAttributes(lang), prompt, answers: shown, label };
  });
  return { person, questions };
}
