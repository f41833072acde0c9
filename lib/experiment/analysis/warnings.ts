// Sentences without which the numbers would be read for more than they are. Each comes from the data at hand.
import { pinchNote } from '../../data/mixture/note';
import { MIN_RECALL } from '../../text/answer-language';
import { languageName } from '../../text/language-codes';
import { undecidedShare } from './language-table';
import type { NamedScore } from './score-tables';
import type { Study } from './study';
import { GREY_FAR, isPartial } from './trust';

/** Share of undecided answers from which it is said. */
const MANY_UNDECIDED = 0.1;
const FEW_ITEMS = 100;
/** Share of answers with a line that can be identified, under which it is said. */
const FEW_LINES = 0.5;

export function warningsOf(study: Study, scores: readonly NamedScore[]): string[] {
  return [
    ...fewItems(study),
    ...oneSeed(study),
    ...systemPrompt(study),
    ...weakIdentification(study),
    ...undecided(study),
    ...fewLines(study),
    ...partialMeans(study),
    ...missingOpponents(study),
    ...farTies(scores),
    ...study.judgedScores.flatMap(({ warnings }) => warnings),
    ...missingSeeds(study),
    ...pinchNotes(study),
    ...notes(study),
  ];
}

function fewItems({ items }: Study): string[] {
  return items.length >= FEW_ITEMS
    ? []
    : [
        `The evaluation has ${items.length} items: intervals are wide, and small differences are not to be seen.`,
      ];
}

function oneSeed({ seeds, arms }: Study): string[] {
  if (seeds.length > 1 || arms.every((arm) => arm.mixture === undefined)) return [];
  return [
    'One seed: intervals are over prompts only, and another seed may move every number. `--seeds 3` shows how far.',
  ];
}

function systemPrompt({ spec, languages }: Study): string[] {
  if (spec.system === undefined || spec.system.trim() === '' || languages.length < 2) return [];
  return [
    'The same system prompt stands before every prompt, in one language: it tells the model a language besides the one asked in.',
  ];
}

function weakIdentification({ summaries }: Study): string[] {
  const weak = Object.entries(summaries[0]?.identification ?? {}).filter(
    ([, { recall }]) => recall < MIN_RECALL,
  );
  if (weak.length === 0) return [];
  const list = weak.map(([lang, { recall, n }]) => `${lang} ${Math.round(100 * recall)} % of ${n}`);
  return [
    `Language identification finds under ${100 * MIN_RECALL} % of the set’s own references in ${list.join(', ')}; there the language of an answer is told by script or by the nearest reference only.`,
  ];
}

function undecided(study: Study): string[] {
  const all = study.arms.flatMap(({ id, label }) =>
    study.languages.map((lang) => ({ label, lang, share: undecidedShare(study, id, lang) })),
  );
  const many = all.filter(({ share }) => share > MANY_UNDECIDED);
  if (many.length === 0) return [];
  const worst = many.reduce((most, one) => (one.share > most.share ? one : most));
  return [
    `In ${many.length} of ${all.length} cells over ${100 * MANY_UNDECIDED} % of the answers are in no language that a rule settles, and are left out of the language match; most for ${worst.label} in ${languageName(worst.lang)}, ${Math.round(100 * worst.share)} %.`,
  ];
}

/** Line-level pass is of the answers that have a line long enough: whose they are, the measures' own notes do not say. */
function fewLines(study: Study): string[] {
  const cells = study.arms.flatMap(({ id }) =>
    study.languages.flatMap((lang) => {
      const results = [...study.columns(id, lang).values()].flatMap((column) => column.results);
      const measured = results.filter(({ measures }) => measures.languageUndecided !== undefined);
      const long = measured.filter(({ measures }) => measures.lineLanguagePass !== undefined);
      return measured.length === 0 ? [] : [long.length / measured.length];
    }),
  );
  const few = cells.filter((share) => share < FEW_LINES).length;
  return few === 0 || study.measure('lineLanguagePass').empty
    ? []
    : [
        `In ${few} of ${cells.length} cells under half of the answers have a line of five words or more: line-level pass speaks of few there.`,
      ];
}

function missingOpponents(study: Study): string[] {
  if (study.spec.against !== 'monolingual') return [];
  const missing = study.languages.filter((lang) => study.monolingual(lang) === undefined);
  if (missing.length === 0) return [];
  const instead =
    study.hub === undefined
      ? 'and there is no model of the hub’s language to compare with instead'
      : `compare there with S against ${languageName(study.spec.hub)}, which is another score`;
  return [`No finished model is tuned on ${missing.join(', ')} alone: IF is not given there, ${instead}.`];
}

function farTies(scores: readonly NamedScore[]): string[] {
  return scores.flatMap(({ name, how, table }) => {
    const shares = [...table.far.values()];
    const many = shares.filter((share) => share > GREY_FAR).length;
    return many === 0
      ? []
      : [
          `${name}, ${how}: in ${many} of ${shares.length} cells over ${100 * GREY_FAR} % of the pairs tie because neither answer is near the reference. There a score near 50 is no sign of parity.`,
        ];
  });
}

/** An arm without a decided answer in some language, or in one of its seeds, has its mean over fewer than others. */
function partialMeans(study: Study): string[] {
  const cells = study.measure('languageMatch');
  const partial = study.arms.filter(({ id }) => isPartial(study, cells, id, study.languages));
  return partial.length === 0
    ? []
    : [
        `In some language or seed no answer is decided for ${partial.map(({ label }) => label).join(', ')}: those means of the language match are over fewer languages or seeds than the others’.`,
      ];
}

function missingSeeds(study: Study): string[] {
  const short = study.arms.filter(
    ({ id, mixture }) =>
      mixture !== undefined &&
      study.languages.some((lang) => {
        const { size } = study.columns(id, lang);
        return size > 0 && size < study.seeds.length;
      }),
  );
  return short.length === 0
    ? []
    : [
        `Not all seeds of ${short.map(({ label }) => label).join(', ')} are finished: its numbers are over those that are.`,
      ];
}

/** The paper's smallest pinch is a count, and one percent at its own budget only. */
function pinchNotes({ arms }: Study): string[] {
  return arms.flatMap(({ label, mixture }) => {
    const note = mixture === undefined ? undefined : pinchNote(mixture);
    return note === undefined ? [] : [`${label}: ${note}.`];
  });
}

/** What the measures themselves had to say of the evaluation set. */
function notes({ summaries }: Study): string[] {
  const seen = new Set<string>();
  for (const summary of summaries) {
    for (const note of summary.notes ?? []) {
      // Said above, over all models.
      if (/undecided|identification finds|have a line of/.test(note)) continue;
      seen.add(`${note[0]!.toUpperCase()}${note.slice(1)}.`);
    }
  }
  return seen.size > 8 ? [...seen].slice(0, 8) : [...seen];
}
