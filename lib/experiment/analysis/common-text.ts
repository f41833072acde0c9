// What a template puts before every prompt, whatever its language. A default system prompt is such text: English that stands
// before a Finnish question, and that nobody wrote into the experiment's file.

/** Words that are not a template's marks, from which it is said. */
const MIN_WORDS = 4;

/** The words with which rendered prompts of several languages all begin; undefined where these are marks and roles only. */
export function sharedOpening(prompts: readonly string[]): string | undefined {
  const [first, ...others] = prompts;
  if (first === undefined || others.length === 0) return undefined;
  let length = first.length;
  for (const other of others) {
    let same = 0;
    while (same < length && other[same] === first[same]) same += 1;
    length = same;
  }
  const text = first
    .slice(0, length)
    .replace(/<[^<>]*>|\[\/?[A-Z_]+\]/g, ' ')
    .replace(/\s+/g, ' ')
    .trim();
  const words = text.match(/\p{L}{2,}/gu) ?? [];
  return words.length < MIN_WORDS ? undefined : text;
}
