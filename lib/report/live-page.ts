// The report's page of an experiment that goes on: written again and again beside the run, by whoever looks, from files alone. What
// is dear to make (intervals, pictures, packed answers) is made anew only where more jobs are finished.
import { type StoredAnswers, storedAnswers } from '../experiment/answers';
import { collectResults } from '../experiment/collect';
import { TrainingFollower } from '../experiment/live';
import type { ExperimentResults } from '../experiment/results';
import { type ExperimentStatus, experimentStatus } from '../experiment/status';
import { MlitError } from '../native/errors';
import { writeFileAtomic } from '../native/files';
import { refuseUnknownOptions } from '../text/options';
import { renderFigure } from './charts/render';
import { judgeFilesVersion, readJudgeFiles } from './judge-files';
import { type AnswersPart, answersPart } from './page/answers-part';
import { allVerdicts, judgedPairs } from './page/judged-pairs';
import { liveSection } from './page/live-section';
import { reportPage } from './page/report-page';
import { withJudges } from './write-report';

/** What does not change as long as no further job is finished. */
interface Finished {
  key: string;
  results: ExperimentResults | undefined;
  svgs: ReadonlyMap<string, string>;
  answers: AnswersPart;
}

/** One experiment's page. */
export class LivePage {
  readonly #store: string;
  readonly #name: string;
  readonly #follower: TrainingFollower;
  readonly #verdicts: readonly string[];
  #finished: Finished | undefined;

  /**
   * @param storeFolder the folder that the experiment's `store` names
   * @param options.verdicts files of what judges or people said of pairs of answers, read again where they have changed; models are called
   * ARM, or ARM/SEED. Default none
   */
  constructor(storeFolder: string, name: string, options: { verdicts?: readonly string[] | undefined } = {}) {
    refuseUnknownOptions('LivePage', options, { verdicts: true });
    this.#verdicts = options.verdicts ?? [];
    this.#store = storeFolder;
    this.#name = name;
    this.#follower = new TrainingFollower(storeFolder, name);
  }

  /**
   * Writes the page, whole or not at all, and says whether something runs.
   *
   * @param options.refreshSeconds how often a browser reads it anew while something runs
   * @throws MlitError `STORE_INVALID` where the store has no such experiment; `FILE_IO`
   */
  async write(
    file: string,
    options: { refreshSeconds: number; signal?: AbortSignal | undefined },
  ): Promise<{ running: boolean }> {
    const status = await this.#status();
    const running = status.now?.alive === true && status.finished < status.total;
    const { results, svgs, answers } = await this.#finishedAt(status, options.signal);
    const refreshSeconds = running ? options.refreshSeconds : undefined;
    const live = liveSection({ status, trainings: await this.#follower.read(), refreshSeconds });
    await writeFileAtomic(file, reportPage({ title: this.#name, results, svgs, answers, live }));
    return { running };
  }

  async #status(): Promise<ExperimentStatus> {
    const all = await experimentStatus(this.#store);
    const mine = all.find(({ name }) => name === this.#name);
    if (mine !== undefined) return mine;
    const there = all.map(({ name }) => name).join(', ') || 'none';
    throw new MlitError(
      'STORE_INVALID',
      `${this.#store} has no experiment '${this.#name}'; it has ${there}`,
      {
        fields: { file: this.#store, value: this.#name },
      },
    );
  }

  async #finishedAt({ jobs }: ExperimentStatus, signal: AbortSignal | undefined): Promise<Finished> {
    const key = JSON.stringify([jobs, await judgeFilesVersion(this.#verdicts)]);
    if (this.#finished?.key === key) return this.#finished;
    const collected = await collectResults(this.#store, this.#name).catch((error: unknown) => {
      if (error instanceof MlitError && error.code === 'EXPERIMENT_INVALID') return undefined;
      throw error;
    });
    const stored: StoredAnswers = await storedAnswers(this.#store, this.#name);
    const judges = await readJudgeFiles(this.#verdicts);
    const results = collected && withJudges(collected, { answers: stored, ...judges });
    const svgs = new Map<string, string>();
    for (const figure of results?.figures ?? []) {
      signal?.throwIfAborted();
      svgs.set(figure.id, await renderFigure(figure));
    }
    const judged = judgedPairs(stored.models, allVerdicts(stored, judges.verdicts)).pairs;
    this.#finished = { key, results, svgs, answers: await answersPart(stored, { judged, signal }) };
    return this.#finished;
  }
}
