// OpenAssistant Conversations (Köpf et al., 2023) in either of its published forms, trees with nested replies or one message a
// record: the first user turn of each tree with the reply that people ranked best.

import { Import, type Importer, type ImportValue, notOfForm, objectOf, stringOf } from './types';

const SET =
  'OpenAssistant ({"prompt": {…, "replies": […]}}, or {"message_id", "parent_id", "role", "text", …})';

interface Message {
  id: string;
  parent: string | null;
  role: string;
  text: string;
  lang: string;
  /** 0 is the best; null where nobody compared it with others. */
  rank: number | null;
  /** Not deleted, and accepted in review; where a file tells nothing of review, taken as it is. */
  usable: boolean;
}

/** A first user turn with what is said in reply to it. */
interface Root {
  message: Message;
  ready: boolean;
  replies: Message[];
}

export const importOasst: Importer = async (values, options) => {
  const result = new Import(options);
  const roots = new Map<string, Root>();
  const replies: Message[] = [];
  for await (const entry of values) {
    const record = objectOf(entry, SET);
    const state = record.tree_state;
    const ready = state == null || state === 'ready_for_export';
    if (record.prompt !== undefined) {
      const message = messageOf(entry, objectOf({ ...entry, value: record.prompt }, SET));
      const nested = (record.prompt as { replies?: unknown }).replies ?? [];
      if (!Array.isArray(nested)) throw notOfForm(entry, SET, '"prompt.replies" to be a list', nested);
      const own = nested.map((reply: unknown) => messageOf(entry, objectOf({ ...entry, value: reply }, SET)));
      addRoot(entry, roots, { message, ready, replies: own });
      continue;
    }
    const message = messageOf(entry, record);
    if (message.parent === null) addRoot(entry, roots, { message, ready, replies: [] });
    else if (message.role === 'assistant') replies.push(message);
  }
  for (const reply of replies) roots.get(reply.parent as string)?.replies.push(reply);
  for (const root of roots.values()) {
    result.read += 1;
    const reason = skipReason(root, options.lang);
    if (reason !== undefined) {
      result.leaveOut(reason);
      continue;
    }
    const best = bestReply(root);
    if (typeof best === 'string') result.leaveOut(best);
    else {
      const { id, lang, text } = root.message;
      result.keep({ id: `oasst-${id}`, lang, instruction: text, response: best.text, source: 'oasst' });
    }
  }
  result.notes.push(
    'the paper trains on 3,640 records of OpenAssistant; how they were chosen is not verified here (first turn with its top-ranked reply is this importer’s rule)',
  );
  return result;
};

function addRoot(entry: ImportValue, roots: Map<string, Root>, root: Root): void {
  if (root.message.role !== 'prompter')
    throw notOfForm(
      entry,
      SET,
      'the first message of a tree to be of the role "prompter"',
      root.message.role,
    );
  if (roots.has(root.message.id)) throw notOfForm(entry, SET, 'each "message_id" once', root.message.id);
  roots.set(root.message.id, root);
}

function messageOf(entry: ImportValue, record: Record<string, unknown>): Message {
  const text = (field: string): string => stringOf(entry, SET, field, record[field]);
  const { review_result: accepted, review_count: reviews } = record;
  const reviewed = accepted === true || (accepted == null && reviews == null);
  const parent = record.parent_id ?? null;
  const rank = record.rank ?? null;
  if (rank !== null && typeof rank !== 'number') throw notOfForm(entry, SET, '"rank" to be a number', rank);
  return {
    id: text('message_id'),
    parent: parent === null ? null : String(parent),
    role: text('role'),
    text: text('text'),
    lang: text('lang'),
    rank,
    usable: record.deleted !== true && reviewed,
  };
}

function skipReason({ message, ready }: Root, lang: string | undefined): string | undefined {
  if (lang !== undefined && message.lang !== lang) return `in another language than ${lang}`;
  if (!ready) return 'a tree that is not ready for export';
  if (!message.usable) return 'a prompt deleted or not accepted in review';
  if (message.text.trim() === '') return 'an empty prompt';
  return undefined;
}

/** The best reply, or why there is none. */
function bestReply({ message, replies }: Root): Message | string {
  if (replies.length === 0) return 'no reply';
  const usable = replies.filter(({ role, usable }) => role === 'assistant' && usable);
  if (usable.length === 0) return 'every reply deleted or not accepted in review';
  const ranked = usable.filter(({ rank }) => rank !== null).sort((a, b) => a.rank! - b.rank!);
  const best = ranked[0] ?? (usable.length === 1 ? usable[0] : undefined);
  if (best === undefined) return 'several replies, none of them ranked';
  if (best.lang !== message.lang) return 'a reply in another language';
  return best.text.trim() === '' ? 'an empty reply' : best;
}
