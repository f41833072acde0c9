// The quickstart's sums: which examples are learned, what the scores and the answers say by language, and the page
// that shows it. Nothing here runs a model.
import { readFileSync } from 'node:fs';

export const readJsonl = (path) =>
  readFileSync(path, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));

/**
 * `count` records, as many in each language, no item twice: so content varies as little as it can and only the
 * language differs. Records come item by item, all languages of one together.
 */
export function pickMixture(records, languages, count) {
  const picked = [];
  const items = [...new Set(records.map((record) => record.parallel_id))];
  const byId = new Map(records.map((record) => [record.id, record]));
  for (const [index, item] of items.slice(0, count).entries()) {
    picked.push(byId.get(`${item}.${languages[index % languages.length]}`));
  }
  return picked;
}

/**
 * Nats a byte of the answers, by language, from the lines of `mlit score --per-token`.
 * The end of the answer is one of the tokens scored; the bytes are the answer's own in UTF-8.
 */
export function lossPerByte(records, scoreLines) {
  const lines = scoreLines.split('\n').filter((line) => line.startsWith('{'));
  const byId = new Map(lines.map((line) => JSON.parse(line)).map((line) => [line.id, line]));
  const sums = {};
  for (const { id, lang, response } of records) {
    const line = byId.get(id);
    if (!line) throw new Error(`mlit score said nothing about ${id}`);
    const nats = line.logprobs.reduce((sum, logprob, i) => (line.supervised[i] ? sum - logprob : sum), 0);
    sums[lang] ??= { nats: 0, bytes: 0 };
    sums[lang].nats += nats;
    sums[lang].bytes += Buffer.byteLength(response);
  }
  return Object.fromEntries(Object.entries(sums).map(([lang, { nats, bytes }]) => [lang, nats / bytes]));
}

/**
 * The shares of answers that are in the language asked, and that cannot be told, by language; and how the rule itself
 * does on the set: on its references, and on the references of other items.
 *
 * @param text `languageOfAnswer`, `identificationRecall`, `checkAnswerLanguageRule` of the package, and an `identify`
 */
export function answersInLanguage(records, answers, languages, text) {
  const references = {};
  for (const { parallel_id: item, lang, response } of records) {
    references[item] ??= {};
    references[item][lang] = response;
  }
  const identified = text.identificationRecall(
    records.map(({ lang, response }) => ({ lang, text: response })),
    text.identify,
  );
  const recall = Object.fromEntries(Object.entries(identified).map(([lang, found]) => [lang, found.recall]));
  const options = { identify: text.identify, recall, languages };
  const rule = text.checkAnswerLanguageRule(Object.values(references), options);
  const counts = Object.fromEntries(languages.map((lang) => [lang, { n: 0, share: 0, undecided: 0 }]));
  for (const { id, lang, parallel_id: item } of records) {
    const answer = answers.get(id);
    if (answer === undefined) throw new Error(`mlit sample did not answer ${id}`);
    const found = text.languageOfAnswer(answer, {
      ...options,
      references: references[item],
      expected: lang,
    }).lang;
    counts[lang].n += 1;
    if (found === lang) counts[lang].share += 1;
    else if (found === 'undecided') counts[lang].undecided += 1;
  }
  for (const [lang, count] of Object.entries(counts)) {
    count.share /= count.n;
    count.undecided /= count.n;
    count.ruleRight = rule.references[lang].right;
    count.ruleWrong = rule.references[lang].wrong;
    count.ruleShuffled = rule.shuffled[lang]?.right ?? 0;
  }
  return counts;
}

const oneLine = (text) => text.replace(/\s*\n\s*/g, ' ⏎ ').slice(0, 60);
const percent = (share) => `${Math.round(100 * share)} %`;

/** The table by language, and a few answers beside their questions. */
export function report(records, before, after, languages) {
  const rows = [
    ['', 'nats a byte', '', '', 'language asked', '', 'un-', '', 'the rule on references:'],
    ['', 'before', 'after', 'change', 'before', 'after', 'decided', 'exact', 'own', 'wrong', 'other items’'],
  ];
  for (const lang of languages) {
    const [a, b] = [before.loss[lang], after.loss[lang]];
    const own = records.filter((record) => record.lang === lang);
    const exact = own.filter((record) => after.answers.get(record.id)?.trim() === record.response).length;
    const spoken = after.language[lang];
    rows.push([
      lang,
      a.toFixed(3),
      b.toFixed(3),
      `${b <= a ? '−' : '+'}${Math.round(Math.abs(100 * (b / a - 1)))} %`,
      percent(before.language[lang].share),
      percent(spoken.share),
      percent(spoken.undecided),
      percent(exact / own.length),
      percent(spoken.ruleRight),
      percent(spoken.ruleWrong),
      percent(spoken.ruleShuffled),
    ]);
  }
  const widths = [4, 12, 8, 8, 16, 8, 9, 8, 8, 8, 13];
  const place = (cell, i) => (i === 8 && cell.includes('rule') ? `  ${cell}` : cell.padStart(widths[i]));
  const table = rows.map((row) => row.map(place).join('').trimEnd()).join('\n');

  // One question in each language, a different item each time.
  const shown = languages.map((lang, index) => records.filter((record) => record.lang === lang)[index * 3]);
  const answers = shown
    .filter((record) => record !== undefined)
    .map(
      ({ id, lang, instruction, response }) =>
        `${lang}  ${instruction}\n      before    ${oneLine(before.answers.get(id) ?? '')}\n` +
        `      after     ${oneLine(after.answers.get(id) ?? '')}\n      expected  ${response}`,
    )
    .join('\n');
  return (
    `\nHeld-out answers: their loss, and how many of the model's own answers are in the language asked\n\n` +
    `${table}\n\nSome questions\n\n${answers}\n`
  );
}
