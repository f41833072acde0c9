// What judges said of an experiment's models, as tables like any others: scores by pair, and by what planted pairs each judge
// qualified.
import { greyByJudge, type Qualification } from '../eval/judges/qualification';
import { personOfJudge, personPairs } from '../eval/people';
import { sideBySide } from '../eval/side-by-side';
import type { Estimate } from '../eval/statistics/estimate';
import { groupVerdicts, type VerdictLine, verdictPairs } from '../eval/verdicts';
import type { ResultCell, ResultTable } from '../experiment/results';
import { languageName } from '../text/language-codes';

/** None where there are no verdicts and no qualifications. */
export function judgeTables(
  verdicts: readonly VerdictLine[],
  qualifications: readonly Qualification[],
): ResultTable[] {
  return [
    ...(verdicts.length > 0 ? [scoresByJudges(verdicts, qualifications)] : []),
    ...(qualifications.length > 0 ? [qualificationTable(qualifications)] : []),
  ];
}

function scoresByJudges(
  verdicts: readonly VerdictLine[],
  qualifications: readonly Qualification[],
): ResultTable {
  const rows = groupVerdicts(verdicts).map((group) => {
    const { judge, protocol, a, b } = group;
    const languages = [...new Set(group.verdicts.map(({ lang }) => lang))].sort();
    const isPerson = personOfJudge(judge) !== undefined;
    const pairs = isPerson ? personPairs(group.verdicts) : verdictPairs(group);
    const { score, leftOut, positionConsistency, wins, ties, losses } = sideBySide(pairs);
    const grey = !isPerson && greyByJudge(group, languages, qualifications);
    return {
      judge: `${judge} (${protocol})`,
      a,
      b,
      languages: languages.join(', '),
      score: cell(score, grey),
      verdicts: `${wins} / ${ties} / ${losses}`,
      leftOut: String(leftOut),
      consistency: cell(positionConsistency, grey, 100),
    };
  });
  return {
    id: 'judge-scores',
    title: 'Side by side, by judges',
    caption:
      'S is the mean over prompts of what A is given against B: 100 where it was chosen in both orders, 0 where B was, 50 else; 50 is parity. A person sees each pair once, in one order. Pairs without a valid verdict (in both orders, where a machine judges) are left out. Grey: the judge has not qualified on planted pairs in every language of the row.',
    columns: [
      { key: 'judge', label: 'judge', kind: 'text' },
      { key: 'a', label: 'A', kind: 'text' },
      { key: 'b', label: 'B', kind: 'text' },
      { key: 'languages', label: 'languages', kind: 'text' },
      { key: 'score', label: 'S of A against B', kind: 'number', unit: 'points', better: 'higher' },
      { key: 'verdicts', label: 'A / tie / B', kind: 'text' },
      { key: 'leftOut', label: 'left out', kind: 'text' },
      { key: 'consistency', label: 'same verdict in both orders', kind: 'number', unit: '%' },
    ],
    rows,
  };
}

function qualificationTable(qualifications: readonly Qualification[]): ResultTable {
  return {
    id: 'judge-qualifications',
    title: 'Judges on planted pairs',
    caption:
      'Each judge faced references against answers that are plainly worse (another item’s, another language’s, cut, empty), in both orders. Under 80 % for the reference, or 60 % alike in both orders, its verdicts in that language are grey.',
    columns: [
      { key: 'judge', label: 'judge', kind: 'text' },
      { key: 'language', label: 'language', kind: 'text' },
      { key: 'accuracy', label: 'for the reference', kind: 'number', unit: '%', better: 'higher' },
      {
        key: 'consistency',
        label: 'same verdict in both orders',
        kind: 'number',
        unit: '%',
        better: 'higher',
      },
      { key: 'outOfForm', label: 'answers out of form', kind: 'text' },
      { key: 'qualified', label: 'qualified', kind: 'text' },
    ],
    rows: qualifications.map(({ judge, protocol, lang, accuracy, consistency, outOfForm, qualified }) => ({
      judge: `${judge} (${protocol})`,
      language: `${languageName(lang)} (${lang})`,
      accuracy: cell(accuracy, !qualified, 100),
      consistency: cell(consistency, !qualified, 100),
      outOfForm: String(outOfForm),
      qualified: qualified ? 'yes' : 'no',
    })),
  };
}

/** n/a where there is nothing to tell. */
function cell(value: Estimate | undefined, grey: boolean, scale = 1): ResultCell {
  if (value === undefined || !Number.isFinite(value.value)) return null;
  const { low, high, n } = value;
  return {
    value: value.value * scale,
    n,
    ...(low !== undefined && { low: low * scale }),
    ...(high !== undefined && { high: high * scale }),
    ...(grey && { grey }),
  };
}
