// What the page says, in one place.
import type { Label, Session } from '../protocol';

/** A way to answer: the label, the keys that give it (the first is shown), and its words. */
export interface Answer {
  label: Label;
  keys: readonly string[];
  /** On its button. */
  name: string;
  /** In a sentence: "You said: …". */
  said: string;
}

const NONE: Answer = { label: 'none', keys: ['n'], name: 'Can’t say', said: 'can’t say' };
const TIE: Answer = { label: 'tie', keys: ['t'], name: 'Equally good', said: 'equally good' };

/** The ways in which a task's questions may be answered. */
export function answersOf({ kind, ties }: Session): readonly Answer[] {
  if (kind === 'rate')
    return [
      { label: 'excellent', keys: ['e', '1'], name: 'Excellent', said: 'excellent' },
      { label: 'pass', keys: ['p', '2'], name: 'Pass', said: 'pass' },
      { label: 'fail', keys: ['f', '3'], name: 'Fail', said: 'fail' },
      NONE,
    ];
  return [
    { label: 'first', keys: ['a', '1'], name: 'First is better', said: 'the first is better' },
    { label: 'second', keys: ['b', '2'], name: 'Second is better', said: 'the second is better' },
    ...(ties ? [TIE] : []),
    NONE,
  ];
}

/** The page's heading. */
export function headingOf({ kind }: Session): string {
  return kind === 'rate' ? 'How good is this answer?' : 'Which answer is better?';
}

/** What people are asked to go by. */
export function guideOf({ kind, ties }: Session): string {
  if (kind === 'rate')
    return 'Excellent: it answers what was asked, rightly, and as a careful native speaker would write. Pass: it is of use, with faults. Fail: it is of no use, wrong, or not in the language that was asked for.';
  const even = ties
    ? 'Say “equally good” where you would not mind which.'
    : 'Where they are close, choose the one that you would rather have got.';
  return `Which one would you rather have got to this prompt? Go by what it says and by how it is written in the language that was asked for. ${even}`;
}

/** What a role of a prompt's turn is called. */
export function roleName(role: string): string {
  if (role === 'user') return 'User';
  if (role === 'assistant') return 'Assistant';
  return role === 'system' ? 'System' : role;
}
