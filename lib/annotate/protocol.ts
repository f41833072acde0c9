// What the page and its server say to each other. No name of a model, of a file or of a folder is in it, so that whoever looks
// into what was sent is as blind as whoever looks at the page.
import type { Grade } from '../eval/grades';
import type { Direction } from '../page/direction';

/** `choose`: which of two answers is better. `rate`: one answer at a time, excellent, pass or fail. */
export type AnnotationKind = 'choose' | 'rate';

/** What a person may answer. `first` and `second` are places on the page; `none`: cannot say. */
export type Label = 'first' | 'second' | 'tie' | 'none' | Grade;

/** Answer to `GET api/session`: what there is to do, before anybody said who they are. */
export interface Session {
  kind: AnnotationKind;
  ties: boolean;
  /** Has to come back with every label; made anew when the server starts. */
  token: string;
  /** Tells this task from another one served at the same address. */
  task: string;
  /** Who labels, where that was settled on the command line or by the link that was opened. */
  person: string | null;
  languages: { code: string; name: string; questions: number }[];
}

/** One question as the page shows it. */
export interface PageQuestion {
  key: string;
  /** The prompt's language, as the session lists it. */
  code: string;
  /** What the texts' elements say of them. */
  lang: string;
  dir: Direction;
  prompt: { role: string; content: string }[];
  /** In the order in which this person sees them. */
  answers: string[];
  label: Label | null;
}

/** Answer to `GET api/questions?person=NAME`. */
export interface Questions {
  /** As the server spells it. */
  person: string;
  questions: PageQuestion[];
}

/** Body of `POST api/label`. */
export interface LabelRequest {
  person: string;
  key: string;
  /** Null takes a label back. */
  label: Label | null;
  /** What the page takes to be the label so far: where another window has changed it, nothing is written. */
  was: Label | null;
}

/** Answer to a label: 200 where it is on the disk, 409 where another window was before it. */
export interface LabelReply {
  /** What holds now. */
  label: Label | null;
}

/** Every other answer than 200 and 409. */
export interface Refusal {
  error: { code: string; message: string };
}
