// Pairs of answers put to a judge, each in both orders, but for those that have been: what was said before is taken from its
// file, identical texts are ties, and every new verdict is on the disk before the next is counted on.
import type { Example } from '../../data/example';
import type { ChatTurn } from '../../model/template';
import type { VerdictLine } from '../verdicts';
import type { Judge, JudgeQuestion, JudgeReply, JudgeSpending } from './judge';
import { questionKey, type VerdictMemory } from './memory';

/** Two models' answers to one prompt. */
export interface AnswerPair {
  id: string;
  /** `parallel_id`, or the record's id. */
  item: string;
  lang: string;
  sample: number;
  /** The prompt; ends with the user's turn. */
  turns: readonly ChatTurn[];
  a: string;
  b: string;
}

/** How far judging has come. */
export interface JudgeProgress {
  /** Questions with an answer, of `total`; each pair of different texts is two. */
  done: number;
  total: number;
  /** Of the done ones: known from before. */
  known: number;
  spending: JudgeSpending;
  /** Since the first question was sent. */
  seconds: number;
}

/** Who judges, under which names, and what is known already. */
export interface JudgePairsOptions {
  judge: Judge;
  names: { a: string; b: string };
  memory?: VerdictMemory | undefined;
  signal?: AbortSignal | undefined;
  /** Told at the start, and with every answer. */
  onProgress?: ((progress: JudgeProgress) => void) | undefined;
}

/** Verdicts, and what there is to say of how they came about. */
export interface JudgedPairs {
  /** In the order of the pairs, AB then BA; what was not asked is not in it. */
  verdicts: VerdictLine[];
  /** Questions asked now, known from before, and not answered. */
  asked: number;
  known: number;
  unasked: number;
  /** Pairs of identical texts. */
  identical: number;
  /** Answers out of form, by reason. */
  outOfForm: Record<string, number>;
  /** Questions that failed, by reason; they are among the unasked. */
  failed: Record<string, number>;
  /** What the endpoint said that it was, and in how many verdicts. */
  models: Record<string, number>;
}

/** The conversation up to the user's last turn. */
export function promptTurns({ turns }: Example): Example['turns'] {
  return turns.slice(0, turns.findLastIndex(({ role }) => role !== 'assistant') + 1);
}

type Order = VerdictLine['order'];

interface Slot {
  pair: AnswerPair;
  order: Order;
  question: JudgeQuestion;
  line: Omit<VerdictLine, 'verdict' | 'at'> & { key: string };
  verdict?: VerdictLine | undefined;
}

/**
 * Asks a judge about pairs. Where it ends early by a limit, what is missing is counted as `unasked`.
 *
 * @throws MlitError `JUDGE_FAILED`, `DATA_INVALID` where the memory has verdicts under these names on other answers, `FILE_IO`; the
 * signal's reason. All that was answered before is in the memory then
 */
export async function judgePairs(
  pairs: readonly AnswerPair[],
  options: JudgePairsOptions,
): Promise<JudgedPairs> {
  const { judge, memory, signal, onProgress } = options;
  const slots = pairs.flatMap((pair) =>
    (['AB', 'BA'] as const).map((order, at) =>
      slotOf(pair, order, `${pair.id}#${pair.sample}#${at}`, options),
    ),
  );
  const writing = new Writing(memory);
  const toAsk = new Map<string, Slot[]>();
  let known = 0;
  for (const slot of slots) {
    if (slot.pair.a === slot.pair.b) {
      slot.verdict = identicalLine(slot, memory);
      if (memory?.named && !memory.has(slot.verdict)) writing.add(slot.verdict);
      continue;
    }
    slot.verdict = memory?.recall(slot.line);
    if (slot.verdict === undefined) {
      // Two samples may be the same text: it is asked about once.
      toAsk.set(slot.line.key, [...(toAsk.get(slot.line.key) ?? []), slot]);
      continue;
    }
    known += 1;
    if (memory?.named && !memory.has(slot.verdict)) writing.add(slot.verdict);
  }
  const failed: Record<string, number> = {};
  const total = slots.filter(({ pair }) => pair.a !== pair.b).length;
  const started = performance.now();
  let asked = 0;
  const tell = (): void =>
    onProgress?.({
      done: known + asked,
      total,
      known,
      spending: judge.spending,
      seconds: (performance.now() - started) / 1000,
    });
  tell();
  try {
    const questions = [...toAsk].map(([key, [slot]]) => ({ ...slot!.question, key }));
    for await (const reply of judge.ask(questions, { signal })) {
      if (reply.failed !== undefined) {
        failed[reply.failed] = (failed[reply.failed] ?? 0) + 1;
        continue;
      }
      for (const [index, slot] of toAsk.get(reply.key)!.entries()) {
        slot.verdict = answeredLine(slot, reply, index === 0);
        if (index === 0 || memory?.named) writing.add(slot.verdict);
        asked += 1;
      }
      // What was paid for is safe before more is asked for.
      if (reply.tokens !== undefined) await writing.settle();
      writing.check();
      tell();
    }
  } finally {
    await writing.settle();
  }
  writing.check();
  return summary(slots, { asked, known, failed });
}

function slotOf(pair: AnswerPair, order: Order, key: string, { judge, names }: JudgePairsOptions): Slot {
  const { id, item, lang, sample, turns, a, b } = pair;
  const [first, second] = order === 'AB' ? [a, b] : [b, a];
  const question = { key, turns, first, second };
  return {
    pair,
    order,
    question,
    line: {
      judge: judge.name,
      protocol: judge.protocol,
      a: names.a,
      b: names.b,
      id,
      item,
      lang,
      sample,
      order,
      wording: judge.wording,
      key: questionKey(judge, question),
    },
  };
}

function identicalLine({ line }: Slot, memory: VerdictMemory | undefined): VerdictLine {
  // Through the memory, which refuses names that stand for other answers by now.
  return memory?.recall(line) ?? { ...line, verdict: 'tie', identical: true, at: new Date().toISOString() };
}

function answeredLine({ line, order }: Slot, reply: JudgeReply, pays: boolean): VerdictLine {
  const { choice, reason, model, tokens } = reply;
  const first = order === 'AB' ? 'A' : 'B';
  const second = order === 'AB' ? 'B' : 'A';
  const verdict = choice === 'first' ? first : choice === 'second' ? second : choice;
  return {
    ...line,
    verdict,
    ...(reason !== undefined && { reason }),
    ...(model !== undefined && { model }),
    ...(tokens !== undefined && pays && { tokens }),
    at: new Date().toISOString(),
  };
}

function summary(
  slots: readonly Slot[],
  counts: { asked: number; known: number; failed: Record<string, number> },
): JudgedPairs {
  const verdicts = slots.flatMap(({ verdict }) => (verdict === undefined ? [] : [verdict]));
  const outOfForm: Record<string, number> = {};
  const models: Record<string, number> = {};
  for (const { verdict, reason = 'out of form', model } of verdicts) {
    if (verdict === null) outOfForm[reason] = (outOfForm[reason] ?? 0) + 1;
    if (model !== undefined) models[model] = (models[model] ?? 0) + 1;
  }
  return {
    verdicts,
    ...counts,
    unasked: slots.length - verdicts.length,
    identical: slots.filter(({ pair }) => pair.a === pair.b).length / 2,
    outOfForm,
    models,
  };
}

/** Lines on their way to the disk: many at once, and the first failure is not lost. */
class Writing {
  readonly #memory: VerdictMemory | undefined;
  readonly #open = new Set<Promise<void>>();
  #failure: unknown;

  constructor(memory: VerdictMemory | undefined) {
    this.#memory = memory;
  }

  add(line: VerdictLine): void {
    if (this.#memory === undefined) return;
    const written: Promise<void> = this.#memory
      .add(line)
      .catch((error: unknown) => {
        this.#failure ??= error;
      })
      .finally(() => this.#open.delete(written));
    this.#open.add(written);
  }

  async settle(): Promise<void> {
    await Promise.all(this.#open);
  }

  /** @throws what the first write that failed threw */
  check(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }
}
