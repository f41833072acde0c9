// What `--judge` may be: the programs that compare answers with references, a local model, or an endpoint.
import { didYouMean } from '../../text/suggest';
import { PROGRAM_JUDGES, type ProgramJudge } from '../compare';

/** A judge by its name, before anything is loaded or asked. */
export type JudgeName =
  | { kind: 'program'; program: ProgramJudge }
  | { kind: 'local'; model: string }
  | { kind: 'openai'; model: string; url: string };

const FORMS = `${Object.keys(PROGRAM_JUDGES).join(', ')}, local:MODEL, openai:MODEL@URL`;

/**
 * @throws RangeError saying what was expected; a URL with a key or a password in it is refused, since verdicts and messages name
 * judges
 */
export function parseJudgeName(name: string): JudgeName {
  if (Object.hasOwn(PROGRAM_JUDGES, name)) return { kind: 'program', program: name as ProgramJudge };
  const [, kind, rest] = /^(local|openai)(?::(.*))?$/s.exec(name) ?? [];
  if (kind === 'local') {
    if (!rest)
      throw new RangeError(`judge: '${name}' names no model; expected local:MODEL, as in local:gemma-3-270m`);
    return { kind, model: rest };
  }
  if (kind === 'openai') return { kind, ...endpointOf(name, rest ?? '') };
  const names = [...Object.keys(PROGRAM_JUDGES), 'local:', 'openai:'];
  throw new RangeError(`judge: '${name}' is no judge; expected one of ${FORMS}${didYouMean(name, names)}`);
}

function endpointOf(name: string, rest: string): { model: string; url: string } {
  const [, model, address] = /^(.+?)@(https?:\/\/.+)$/s.exec(rest) ?? [];
  const url = address !== undefined && URL.canParse(address) ? new URL(address) : undefined;
  if (model === undefined || url === undefined) {
    throw new RangeError(
      `judge: '${withoutPassword(name)}': expected openai:MODEL@URL with the endpoint's base URL, as in openai:gpt-4.1@https://api.openai.com/v1`,
    );
  }
  if (url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== '') {
    throw new RangeError(
      `judge: '${model}@${url.host}': the URL may have no user, password, query or fragment; a key comes from MLIT_JUDGE_API_KEY or OPENAI_API_KEY alone`,
    );
  }
  return { model, url: url.href.replace(/\/+$/, '') };
}

function withoutPassword(name: string): string {
  return name.replace(/\/\/[^/@]*@/, '//');
}
