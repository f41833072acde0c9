// E4: what one language more in the mixture does to languages that are in none of them.
import type { ResultFigure } from '../results';
import type { Arm } from '../types';
import type { Term } from './cells';
import { type Drawn, drawnQuantities, greyMean, groupCurve, type LanguageGroup, plain } from './figures';
import { groupTables } from './group-tables';
import type { ProtocolResults } from './pinch';
import type { NamedScore } from './score-tables';
import type { Study } from './study';
import { listLanguages } from './words';

export function analyseOrders(study: Study, scores: readonly NamedScore[]): ProtocolResults {
  const arms = study.arms.filter(({ at }) => typeof at.k === 'number');
  const tuned = new Set(arms.flatMap(({ mixture }) => (mixture?.kind === 'prefix' ? mixture.order : [])));
  const unseen = study.languages.filter((lang) => !tuned.has(lang));
  const seen = study.languages.filter((lang) => tuned.has(lang));
  const groups: LanguageGroup[] = [
    { name: 'unseen', languages: unseen },
    { name: 'seen', languages: seen },
  ].filter(({ languages }) => languages.length > 0);
  const drawn = drawnQuantities(study, scores);
  const target = unseen.length > 0 ? unseen : seen;
  return {
    question: `How many languages does it take until ${unseen.length > 0 ? 'languages that are in no mixture' : 'these languages'} are answered as well as they will be?`,
    tables: groupTables(study, drawn, groups),
    figures: drawn.map((each) => orderCurves(study, each, arms, target, unseen.length > 0)).filter(isFigure),
    warnings:
      unseen.length > 0
        ? []
        : [
            'Every evaluated language is in some mixture: the curves are means over seen languages, not what the paper asks.',
          ],
  };
}

const isFigure = (figure: ResultFigure | undefined): figure is ResultFigure => figure !== undefined;

/** A line an order, and their mean with its band. */
function orderCurves(
  study: Study,
  drawn: Drawn,
  arms: readonly Arm[],
  languages: readonly string[],
  unseen: boolean,
): ResultFigure | undefined {
  const numbers = [...new Set(arms.flatMap(ordersOf))].sort((a, b) => a - b);
  const caption = `Mean over ${unseen ? 'the languages in no mixture' : 'the languages evaluated'}: ${listLanguages(languages)}. Orders are drawn by the experiment’s seed; equal sets of languages are one model.`;
  const ofOrder = (number: number): { arm: Arm; x: number }[] =>
    arms
      .filter((arm) => ordersOf(arm).includes(number))
      .map((arm) => ({ arm, x: Number(arm.at.k) }))
      .sort((a, b) => a.x - b.x);
  const curves = numbers.map((number) =>
    groupCurve(study, drawn, ofOrder(number), [{ name: `order ${number}`, languages }], {
      x: 'languages in the mixture',
      caption,
      paper: 'The curve of scores in unseen languages over the number of tuning languages (E4).',
    }),
  );
  const lines = curves.filter((figure) => figure?.kind === 'curve');
  const [first] = lines;
  if (first === undefined) return undefined;
  const mean = meanOfOrders(study, drawn, numbers.map(ofOrder), languages);
  return { ...first, series: [...mean, ...lines.flatMap(({ series }) => series)] };
}

/** Only where all orders have their model. */
function meanOfOrders(
  study: Study,
  drawn: Drawn,
  orders: readonly (readonly { arm: Arm; x: number }[])[],
  languages: readonly string[],
) {
  if (orders.length < 2) return [];
  const places = [...new Set(orders.flatMap((order) => order.map(({ x }) => x)))].sort((a, b) => a - b);
  const points = places.flatMap((x) => {
    const arms = orders.map((order) => order.find((place) => place.x === x)?.arm);
    if (arms.some((arm) => arm === undefined)) return [];
    const terms = (arms as Arm[]).flatMap(({ id }): Term[] => {
      const there = languages.filter((lang) => drawn.cells.has(id, lang));
      return there.map((lang) => ({ arm: id, lang, weight: 1 / (there.length * arms.length) }));
    });
    const value = drawn.cells.combine(terms);
    if (value === null) return [];
    const grey = (arms as Arm[]).some(({ id }) => greyMean(study, drawn, id, languages));
    return [
      {
        x,
        y: plain(value),
        ...(value.seeds !== undefined && { seeds: value.seeds }),
        ...(grey && { grey }),
      },
    ];
  });
  return points.length === 0 ? [] : [{ name: 'mean of the orders', points }];
}

function ordersOf({ at }: Arm): number[] {
  return String(at.orders ?? at.order)
    .split(',')
    .map(Number);
}
