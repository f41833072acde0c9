// The judges of an experiment, found out before anything is computed: by content and by name, never by a place on this machine.
import { basename } from 'node:path';
import { endpointName } from '../eval/judges/openai-judge';
import { wordingVersion } from '../eval/judges/wording';
import type { HubOptions } from '../model/hub/snapshot';
import { resolveModel } from '../model/source';
import { modelHash } from './inputs';
import type { JudgeKey } from './job';
import { type JudgeSpec, modelJudge } from './judge-spec';
import type { ExperimentSpec } from './spec';

/** A judge with what its jobs have to know. */
export interface PreparedJudge {
  spec: JudgeSpec;
  key: JudgeKey;
  /** SHA-256 → path of a local judge's model. */
  files: Readonly<Record<string, string>>;
}

/**
 * Endpoints are not asked here.
 *
 * @param device as resolved
 * @throws MlitError `UNKNOWN_MODEL`, `FILE_NOT_FOUND` for a local judge's model
 */
export async function prepareJudges(
  spec: ExperimentSpec,
  device: string,
  options: HubOptions,
): Promise<PreparedJudge[]> {
  const judges: PreparedJudge[] = [];
  for (const judge of spec.judge ?? []) {
    const { protocol, maxNewTokens } = judge;
    const name = modelJudge(judge.name);
    if (name.kind === 'openai') {
      const { model, url } = name;
      const wording = wordingVersion({ protocol, form: 'last-line' });
      const key = {
        by: 'openai',
        name: endpointName(name),
        model,
        url,
        protocol,
        wording,
        maxNewTokens,
      } as const;
      judges.push({ spec: judge, key, files: {} });
      continue;
    }
    const source = await resolveModel(name.model, options);
    const sha256 = await modelHash(source);
    const key: JudgeKey = {
      by: 'local',
      // A path is nobody's business; what the weights are, the hash says.
      name: `local:${basename(name.model)}`,
      model: sha256,
      protocol,
      wording: wordingVersion({ protocol, form: 'letter' }),
      baseDtype: spec.baseDtype,
      ...(device.startsWith('cuda') && { device: 'cuda' }),
      ...(spec.compute === 'int8' && { compute: 'int8' }),
    };
    judges.push({ spec: judge, key, files: { [sha256]: source.path } });
  }
  return judges;
}
