// Items to languages, one language an item, budgets exact. In a parallel table this is cutting the order into runs; where the
// table has holes it is a bipartite matching, found by augmenting paths, so that what can be satisfied is.
import type { ParallelTable } from './table';

export interface Slot {
  /** The language's number in the table. */
  language: number;
  /** Items that it is to have. */
  quota: number;
}

export interface Assignment {
  /** The items chosen, in the order given. */
  items: number[];
  /** Slot of each item of the table, −1 for those not chosen. */
  slotOf: Int32Array;
  /** Where the quotas can't be met: the slots that have too few items between them. */
  short: number[];
}

/**
 * Takes items in order, each if the ones before leave it a place: so the set is the first in that order that can be served
 * (the greedy basis of a transversal matroid), the first n items where the table is parallel. An item goes to the first
 * slot that is not full; where all are, items that were placed before move on to other slots of theirs.
 */
export function assignDisjoint(table: ParallelTable, order: Int32Array, slots: readonly Slot[]): Assignment {
  const slotOfLanguage = new Int32Array(table.languages.length).fill(-1);
  slots.forEach(({ language }, slot) => {
    slotOfLanguage[language] = slot;
  });
  const slotsOf = (item: number): number[] => {
    const list: number[] = [];
    table.forEachLanguage(item, (language) => {
      if (slotOfLanguage[language]! >= 0) list.push(slotOfLanguage[language]!);
    });
    return list.sort((a, b) => a - b);
  };
  const [here, nowhere] = [[0], []];
  const onlySlot = (item: number): number[] => (table.find(item, slots[0]!.language) < 0 ? nowhere : here);
  const slotOf = new Int32Array(order.length).fill(-1);
  const used = slots.map(() => 0);
  const moves = new Moves(slots.length, slotOf);
  const hopeless = new Set<string>();
  let left = slots.reduce((sum, { quota }) => sum + quota, 0);

  for (let at = 0; at < order.length && left > 0; at += 1) {
    const item = order[at]!;
    const own = slots.length === 1 ? onlySlot(item) : slotsOf(item);
    if (own.length === 0) continue;
    let slot = own.find((each) => used[each]! < slots[each]!.quota);
    if (slot === undefined) {
      // A set that has no way in now has none later: the chosen set only grows.
      const signature = own.join();
      if (hopeless.has(signature)) continue;
      const path = moves.pathToFree(own, (each) => used[each]! < slots[each]!.quota);
      if (path === undefined) {
        hopeless.add(signature);
        continue;
      }
      for (let step = path.length - 1; step > 0; step -= 1) {
        const moved = moves.top(path[step - 1]!, path[step]!)!;
        slotOf[moved] = path[step]!;
        moves.add(moved, path[step]!, slotsOf(moved));
      }
      used[path.at(-1)!]! += 1;
      slot = path[0]!;
    } else {
      used[slot]! += 1;
    }
    slotOf[item] = slot;
    moves.add(item, slot, own);
    left -= 1;
  }
  const items: number[] = [];
  for (const item of order) if (slotOf[item]! >= 0) items.push(item);
  const unfilled = slots.map((_, slot) => slot).filter((slot) => used[slot]! < slots[slot]!.quota);
  return { items, slotOf, short: moves.leadingTo(unfilled) };
}

/** For every pair of slots the items that are in the first and could be in the second. */
class Moves {
  readonly #slotOf: Int32Array;
  readonly #stacks: number[][][];

  constructor(slots: number, slotOf: Int32Array) {
    this.#slotOf = slotOf;
    this.#stacks = Array.from({ length: slots }, () => Array.from({ length: slots }, () => []));
  }

  add(item: number, slot: number, own: readonly number[]): void {
    for (const other of own) if (other !== slot) this.#stacks[slot]![other]!.push(item);
  }

  /** An item that can move; items that have left since are dropped on the way. */
  top(from: number, to: number): number | undefined {
    const stack = this.#stacks[from]![to]!;
    while (stack.length > 0 && this.#slotOf[stack.at(-1)!] !== from) stack.pop();
    return stack.at(-1);
  }

  /** The shortest way from one of some full slots to one with room, by moves. */
  pathToFree(from: readonly number[], hasRoom: (slot: number) => boolean): number[] | undefined {
    const before = new Map<number, number | undefined>(from.map((slot) => [slot, undefined]));
    for (const slot of before.keys()) {
      for (let to = 0; to < this.#stacks.length; to += 1) {
        if (before.has(to) || this.top(slot, to) === undefined) continue;
        before.set(to, slot);
        if (!hasRoom(to)) continue;
        const path = [to];
        for (let at = before.get(to); at !== undefined; at = before.get(at)) path.unshift(at);
        return path;
      }
    }
    return undefined;
  }

  /** Some slots and all from which items could move to them. */
  leadingTo(slots: readonly number[]): number[] {
    const found = new Set(slots);
    for (const to of found) {
      for (let from = 0; from < this.#stacks.length; from += 1) {
        if (!found.has(from) && this.top(from, to) !== undefined) found.add(from);
      }
    }
    return [...found].sort((a, b) => a - b);
  }
}
