// Whether a judge may be believed, found out before its verdicts enter a table: it faces pairs of which one answer is the
// reference and the other is planted, worse for a reason that is known. A judge of one language need not be one of another.
import type { Example } from '../../data/example';
import { foldWords, segments } from '../../text/segment';
import { referenceOf } from '../label-set';
import type { VerdictLine } from '../verdicts';
import {
  type AnswerPair,
  type JudgedPairs,
  type JudgePairsOptions,
  judgePairs,
  promptTurns,
} from './judge-pairs';
import { PLANTED_KINDS, type PlantedKind, type Qualification, qualificationOf } from './qualification';
import { sha256 } from './wording';

/** Items of a language from which planted pairs are made, one of every kind that the item allows. */
export const PLANTED_ITEMS = 10;

/** A pair whose better answer, A, is the reference. */
export interface PlantedPair extends AnswerPair {
  kind: PlantedKind;
}

interface Reference {
  example: Example;
  text: string;
}

/**
 * Planted pairs from a set's references, the same ones each time: of ten items a language, the reference against
 * another item's, against the same item's in another language (where the set is parallel), against its first half, against
 * nothing.
 *
 * @param languages those wanted. Default: all of the set
 */
export function plantPairs(examples: readonly Example[], languages?: readonly string[]): PlantedPair[] {
  const references = examples.flatMap((example) => {
    const text = referenceOf(example);
    return text === undefined || text.trim() === '' ? [] : [{ example, text }];
  });
  const wanted = languages ?? [...new Set(references.map(({ example }) => example.lang))];
  return [...wanted].sort().flatMap((lang) => {
    // Any order will do that is not the set's own, which may go by subject.
    const own = references
      .filter(({ example }) => example.lang === lang)
      .map((reference) => ({ reference, rank: sha256(reference.example.id) }))
      .sort((a, b) => (a.rank < b.rank ? -1 : 1))
      .map(({ reference }) => reference);
    return own.slice(0, PLANTED_ITEMS).flatMap((reference, at) => {
      const others = [...own.slice(at + 1), ...own.slice(0, at)];
      return PLANTED_KINDS.flatMap((kind) => {
        const planted = plantedAnswer(kind, reference, others, references);
        return planted === undefined ? [] : [toPair(kind, reference, planted)];
      });
    });
  });
}

function plantedAnswer(
  kind: PlantedKind,
  { example, text }: Reference,
  others: readonly Reference[],
  all: readonly Reference[],
): string | undefined {
  const isOther = (one: Reference): boolean => foldWords(one.text) !== foldWords(text);
  switch (kind) {
    case 'shuffled':
      return others.find(isOther)?.text;
    case 'wrong-language':
      return all.find(
        (one) =>
          example.parallelId !== undefined &&
          one.example.parallelId === example.parallelId &&
          one.example.lang !== example.lang &&
          isOther(one),
      )?.text;
    case 'cut': {
      const characters = segments(text, 'grapheme', example.lang);
      return characters.length < 2 ? undefined : characters.slice(0, characters.length >> 1).join('');
    }
    case 'empty':
      return '';
  }
}

function toPair(kind: PlantedKind, { example, text }: Reference, planted: string): PlantedPair {
  const { id, lang, parallelId } = example;
  // The kind is part of the name: an item has a pair of each.
  return {
    kind,
    id: `${id} ${kind}`,
    item: parallelId ?? id,
    lang,
    sample: 0,
    turns: promptTurns(example),
    a: text,
    b: planted,
  };
}

/** How planted pairs are judged: as any others, under names of their own. */
export type QualifyOptions = Omit<JudgePairsOptions, 'names'>;

/**
 * Puts planted pairs to a judge.
 *
 * @returns one line a language of which all pairs were judged, and how the judging went. A language without planted pairs, or with
 * questions that were not answered, has no line: in it the judge is not qualified
 */
export async function qualifyJudge(
  pairs: readonly PlantedPair[],
  options: QualifyOptions,
): Promise<{ qualifications: Qualification[]; judged: JudgedPairs }> {
  const judged = await judgePairs(pairs, { ...options, names: { a: 'reference', b: 'planted' } });
  const byId = new Map<string, VerdictLine[]>();
  for (const line of judged.verdicts) byId.set(line.id, [...(byId.get(line.id) ?? []), line]);
  const qualifications = [...new Set(pairs.map(({ lang }) => lang))].flatMap((lang) => {
    const own = pairs.filter((pair) => pair.lang === lang);
    const planted = own.flatMap(({ id, kind }) => {
      const [first, second] = byId.get(id) ?? [];
      return first === undefined || second === undefined
        ? []
        : [{ kind, verdicts: [first, second] as const }];
    });
    return planted.length < own.length ? [] : [{ lang, ...qualificationOf(planted) }];
  });
  return { qualifications, judged };
}
