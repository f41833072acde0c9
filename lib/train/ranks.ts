// One process of several that train together: how it finds the others, and what they say to each other. Every rank makes the same
// calls in the same order; what one of them can't go on with is told to all.
import { cpus, hostname } from 'node:os';
import { loadAddon } from '../native/addon';
import { isMlitError, MlitError } from '../native/errors';
import type { NativeRanks } from '../native/types';
import { packageVersion } from '../native/version';
import { refuseUnknownOptions } from '../text/options';

/** Where a launcher says that this process stands, and how it is to reach the others. */
export interface RankPlace {
  /** From 0; the first writes the run's folder. */
  rank: number;
  /** Ranks in all, more than one. */
  size: number;
  /** What said so, as `RANK and WORLD_SIZE`. */
  said: string;
  /** MASTER_ADDR and a port there; without it the ranks meet by MPI. */
  meet: { host: string; port: number } | undefined;
}

/** How long a rank waits for the others to come to MASTER_ADDR. */
const PATIENCE_MS = 5 * 60_000;

/** Pairs of variables, the innermost launcher first: torchrun may have been started by srun. */
const LAUNCHERS = [
  ['RANK', 'WORLD_SIZE'], // torchrun
  ['OMPI_COMM_WORLD_RANK', 'OMPI_COMM_WORLD_SIZE'], // Open MPI's mpirun
  ['PMI_RANK', 'PMI_SIZE'], // mpirun of MPICH and Intel MPI, srun --mpi=pmi2
  ['SLURM_PROCID', 'SLURM_STEP_NUM_TASKS'], // srun; a batch script itself has no step
] as const;

/**
 * The place that mpirun, srun or torchrun gave this process; undefined where it is alone.
 *
 * @throws RangeError naming a variable that makes no sense
 */
export function findRanks(env: NodeJS.ProcessEnv = process.env): RankPlace | undefined {
  const found = LAUNCHERS.find((names) => names.every((name) => (env[name] ?? '') !== ''));
  if (found === undefined) return undefined;
  const [rankName, sizeName] = found;
  const size = whole(env, sizeName, 1, 1_000_000);
  if (size === 1) return undefined;
  const rank = whole(env, rankName, 0, size - 1);
  const said = `${rankName} and ${sizeName}`;
  if (!env.MASTER_ADDR) return { rank, size, said, meet: undefined };
  // torchrun itself listens at the port that it names.
  const port =
    whole(env, 'MASTER_PORT', 1, 65534) +
    (env.TORCHELASTIC_USE_AGENT_STORE?.toLowerCase() === 'true' ? 1 : 0);
  return { rank, size, said, meet: { host: env.MASTER_ADDR, port } };
}

function whole(env: NodeJS.ProcessEnv, name: string, least: number, most: number): number {
  const text = env[name] ?? '';
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= least && value <= most) return value;
  throw new RangeError(
    `the environment's ${name} is '${text}', expected a whole number from ${least} to ${most}; start ranks by mpirun, srun or torchrun, or unset it`,
  );
}

/** What ranks know of each other. */
interface Member {
  host: string;
  pid: number;
  version: string;
}

type Said = { at: string; value: unknown } | { error: string };

/** The ranks of a run, seen from one of them. */
export class Ranks {
  /** This one, from 0. */
  readonly rank: number;
  /** All of them. */
  readonly size: number;
  /** How they meet, as `MPI (Open MPI v4.1.4)`. */
  readonly description: string;
  /** @internal */
  readonly native: NativeRanks;
  #members: Member[] = [];
  /** Errors that every rank has. */
  readonly #shared = new WeakSet<object>();

  private constructor(native: NativeRanks) {
    this.native = native;
    this.rank = native.rank;
    this.size = native.size;
    this.description = native.description;
  }

  /**
   * Waits for the other ranks of the place. Once in a process where they meet by MPI.
   *
   * @throws MlitError `DEVICE_UNAVAILABLE` where they can't meet, `RANKS_DIFFER` where they are of several versions
   */
  static async join(place: RankPlace): Promise<Ranks> {
    refuseUnknownOptions('Ranks.join', place, { rank: true, size: true, said: true, meet: true });
    const { rank, size, said, meet } = place;
    const addon = loadAddon();
    const reason = meet ? '' : addon.ranksWhyNot().mpi;
    if (reason !== '') {
      throw new MlitError(
        'DEVICE_UNAVAILABLE',
        `${said} say that this is rank ${rank} of ${size}, but ${reason}. Either set MASTER_ADDR to rank 0's machine and MASTER_PORT to a free port of it, the same for all ranks; or install an MPI with its headers (Debian: openmpi-bin libopenmpi-dev) and build with \`npm run setup\` in a clone`,
        { fields: { rank, size } },
      );
    }
    const native = await addon.joinRanks(
      meet ? { by: 'tcp', ...meet, rank, size, patienceMs: PATIENCE_MS } : { by: 'mpi' },
    );
    if (native.size !== size || native.rank !== rank) {
      throw new MlitError(
        'DEVICE_UNAVAILABLE',
        `${said} say that this is rank ${rank} of ${size}, but ${native.description} says rank ${native.rank} of ${native.size}: it was not started by this MPI's own launcher. Use that one (of srun: --mpi=pmix), or set MASTER_ADDR and MASTER_PORT`,
        { fields: { rank, size } },
      );
    }
    const ranks = new Ranks(native);
    const own: Member = { host: hostname(), pid: process.pid, version: packageVersion };
    ranks.#members = await ranks.gather('join', own);
    ranks.refuseDifferent(
      'the version of mlit-native',
      ranks.#members.map(({ version }) => version),
    );
    return ranks;
  }

  /** Ranks of this machine, and which of them this is, from 0. */
  get local(): { rank: number; size: number } {
    const here = this.#members.flatMap(({ host }, rank) => (host === hostname() ? [rank] : []));
    return { rank: here.indexOf(this.rank), size: here.length };
  }

  /** A rank as messages name it. */
  nameOf(rank: number): string {
    const member = this.#members[rank];
    return member ? `rank ${rank} (process ${member.pid} on ${member.host})` : `rank ${rank}`;
  }

  /**
   * What every rank gave at this point of the run, in their order. Values are JSON's.
   *
   * @throws MlitError `RANK_LOST` where one is gone or has failed, and says with what
   */
  async gather<T>(at: string, value: T): Promise<T[]> {
    const all = await this.#exchange({ at, value });
    for (const [rank, said] of all.entries()) {
      if ('error' in said)
        throw this.shared(
          new MlitError('RANK_LOST', `${this.nameOf(rank)} has failed: ${said.error}`, { fields: { rank } }),
        );
    }
    const places = (all as { at: string; value: T }[]).map((said) => said.at);
    this.refuseDifferent('the point of the run', places);
    return (all as { at: string; value: T }[]).map((said) => said.value);
  }

  /**
   * Ends the run on all ranks where what they gave is not one value.
   *
   * @throws MlitError `RANKS_DIFFER` naming what, and two ranks that have different values
   */
  refuseDifferent(what: string, values: readonly unknown[], remedy = 'all ranks need the same'): void {
    const texts = values.map((value) => JSON.stringify(value) ?? 'not given');
    const other = texts.findIndex((text) => text !== texts[0]);
    if (other < 0) return;
    throw this.shared(
      new MlitError(
        'RANKS_DIFFER',
        `${what} is ${texts[0]} on ${this.nameOf(0)}, but ${texts[other]} on ${this.nameOf(other)}; ${remedy}`,
        { fields: { what, ranks: [0, other] } },
      ),
    );
  }

  /** Marks an error that every rank comes to by itself, because it follows from what was gathered. */
  shared<E extends Error>(error: E): E {
    this.#shared.add(error);
    return error;
  }

  /** Tells the others, in place of what they wait for next, why this rank ends. Never throws. */
  async announce(error: unknown): Promise<void> {
    if (typeof error === 'object' && error !== null && this.#shared.has(error)) return;
    const text = error instanceof Error ? error.message : String(error);
    await this.#exchange({ error: isMlitError(error) ? `${text} [${error.code}]` : text }).catch(
      () => undefined,
    );
  }

  async #exchange(said: Said): Promise<Said[]> {
    try {
      return (await this.native.gather(JSON.stringify(said))).map((text) => JSON.parse(text) as Said);
    } catch (error) {
      throw this.lostBy(error);
    }
  }

  /** What a native call that waited for other ranks has failed with, in words. */
  lostBy(error: unknown): unknown {
    const rank =
      isMlitError(error) && error.code === 'DEVICE_UNAVAILABLE' ? Number(error.fields.rank) : Number.NaN;
    if (Number.isNaN(rank)) return error;
    return this.shared(
      new MlitError(
        'RANK_LOST',
        `${this.nameOf(rank)} is gone: it has ended, was killed, or its machine can't be reached. Its own last words say more. The run's folder holds what was saved; go on with --resume, on this or another number of ranks`,
        { fields: { rank }, cause: error },
      ),
    );
  }

  /** Lets the ranks' cards reach each other, where they can; the reason where they can't. */
  async useCards(device: string): Promise<string> {
    try {
      return await this.native.useCards(device);
    } catch (error) {
      throw this.lostBy(error);
    }
  }

  /** Ends the ranks in order, all together. */
  async leave(): Promise<void> {
    await this.native.leave();
    await this.native.dispose();
  }

  /** Threads of this rank where nobody said how many: the machine's, divided, unless the launcher has divided them already. */
  threads(usable: number): number {
    return usable < cpus().length ? usable : Math.max(1, Math.floor(usable / this.local.size));
  }

  /** A card for each rank of a machine, where `device` names none by its number. */
  device(device: string): string {
    const addon = loadAddon();
    const card = device === 'auto' ? addon.resolveDevice('auto', 'auto') !== 'cpu' : device === 'cuda';
    if (!card) return device;
    const cards = addon.doctor().backends.find(({ name }) => name === 'cuda')?.devices?.length ?? 0;
    if (cards === 1) return 'cuda:0'; // as srun --gpus-per-task shows each its own
    const { rank, size } = this.local;
    if (rank < cards || cards === 0) return cards === 0 ? device : `cuda:${rank}`;
    throw new MlitError(
      'DEVICE_UNAVAILABLE',
      `${size} ranks are on ${hostname()}, which shows ${cards} cards; start one rank a card`,
      { fields: { ranks: size, cards } },
    );
  }
}
