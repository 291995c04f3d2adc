/** Starts the ranks of a training with mpirun, listens to rank 0, and keeps what each of them logs. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream, type WriteStream } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { TuneyardError } from '@protocol/errors';
import type { TrainResult } from '@protocol/runner';
import { findMpi } from '../collectives/findMpi';
import type { MpiFamily } from '../collectives/mpi';
import { type FromRank, RankLines, type RankTask, STOP } from './rankMessages';
import type { TrainRequest } from './requests';

/** Lines of a rank's log that an error shows. */
const SHOWN = 12;

/**
 * Trains on `world_size` ranks; otherwise as `trainJob`.
 *
 * @throws TuneyardError what rank 0 throws; `mpi_failed` where there is no MPI or a rank ends, with what it said
 */
export async function launchRanks(request: TrainRequest): Promise<TrainResult> {
  const { recipe, baseDir, runDir, runId, path, signal } = request;
  const launcher = await findMpi();
  if (!launcher) {
    throw new TuneyardError(
      'mpi_failed',
      'world_size above 1 needs MPI, and there is no mpirun here: install it (Debian and Ubuntu: "sudo apt-get install openmpi-bin"), or set world_size to 1.',
    );
  }
  const logs = join(runDir, 'ranks');
  await mkdir(logs, { recursive: true });
  const task: RankTask = {
    recipe,
    baseDir,
    runDir,
    runId,
    family: launcher.family,
    ...(path !== undefined && { path }),
  };
  const hostfile = recipe.hostfile === undefined ? undefined : resolve(baseDir, recipe.hostfile);
  const env = { ...process.env, ...SETTINGS };
  const argv = [...optionsOf(launcher.family, recipe.world_size, hostfile, env), ...ownCommand(), 'rank'];
  const child = spawn(launcher.program, [...argv, Buffer.from(JSON.stringify(task)).toString('base64')], {
    // A Ctrl-C of the terminal is for this process: mpirun would end all ranks at once.
    detached: true,
    stdio: ['pipe', 'pipe', 'pipe'],
    env,
  });
  const stop = () => void child.stdin.write(STOP);
  const files = new RankLogs(logs);
  // Where it ends before it has read, that is told by how it ends.
  child.stdin.on('error', () => {});
  signal?.addEventListener('abort', stop, { once: true });
  try {
    return await listen(child, request, files, () => signal?.aborted && stop());
  } finally {
    signal?.removeEventListener('abort', stop);
    child.kill();
    await files.close();
  }
}

async function listen(
  child: ChildProcess,
  { emit, onStage }: TrainRequest,
  files: RankLogs,
  onStarted: () => void,
): Promise<TrainResult> {
  const lines = new RankLines();
  let last: Extract<FromRank, { type: 'done' | 'failed' }> | undefined;
  createInterface({ input: child.stdout! }).on('line', (line) => {
    const message = lines.push(line);
    if (message?.type === 'event') emit(message.event);
    else if (message?.type === 'stage') onStage?.(message.stage);
    else if (message) last = message;
  });
  createInterface({ input: child.stderr! }).on('line', (line) => files.write(line));
  onStarted();
  const [code, signal] = (await once(child, 'close')) as [number | null, string | null];
  if (last?.type === 'done' && code === 0) return last.result;
  if (last?.type === 'failed') {
    const { code: kind, what, place, data } = last;
    throw new TuneyardError(kind, what, { ...(place && { place }), data });
  }
  throw new TuneyardError('mpi_failed', `a rank ended (mpirun: ${signal ?? `status ${code}`}). ${files.lastWords()}`, {
    place: { file: files.folder },
  });
}

/** `[rank 3] …` goes to rank-3.log, what mpirun itself says to mpirun.log. */
class RankLogs {
  readonly #streams = new Map<string, WriteStream>();
  readonly #recent = new Map<string, string[]>();

  constructor(readonly folder: string) {}

  write(line: string): void {
    const [, rank, text = line] = /^\[rank (\d+)\] (.*)$/.exec(line) ?? [];
    const name = rank === undefined ? 'mpirun' : `rank-${rank}`;
    let stream = this.#streams.get(name);
    if (!stream) {
      stream = createWriteStream(join(this.folder, `${name}.log`), { flags: 'a' });
      // A full disk takes no more logs; the run says so itself.
      stream.on('error', () => {});
      this.#streams.set(name, stream);
    }
    stream.write(`${new Date().toISOString()} ${text}\n`);
    const recent = this.#recent.get(name) ?? [];
    recent.push(text);
    this.#recent.set(name, recent.slice(-SHOWN));
  }

  /** What mpirun says of a rank's end, and the last that this one said. */
  lastWords(): string {
    const said = (this.#recent.get('mpirun') ?? []).filter((line) => /\w/.test(line));
    const dead = /rank (\d+)|RANK (\d+)/.exec(said.join(' '));
    const rank = dead?.[1] ?? dead?.[2];
    const own = rank === undefined ? [] : (this.#recent.get(`rank-${rank}`) ?? []);
    return [
      ...(rank === undefined ? [] : [`Rank ${rank} last said: ${own.join(' / ') || 'nothing'}.`]),
      said.slice(0, 6).join(' ').trim(),
    ].join(' ');
  }

  async close(): Promise<void> {
    await Promise.all([...this.#streams.values()].map((stream) => new Promise((done) => stream.end(done))));
  }
}

function optionsOf(
  family: MpiFamily,
  worldSize: number,
  hostfile: string | undefined,
  env: NodeJS.ProcessEnv,
): string[] {
  const count = ['-n', String(worldSize)];
  if (family === 'mpich') return [...count, ...(hostfile === undefined ? [] : ['-f', hostfile])];
  const passed = [...Object.keys(SETTINGS), ...PASSED].filter((name) => env[name] !== undefined);
  return [
    ...count,
    // Other machines get no more of this one's environment than that; with MPICH they get all.
    ...passed.flatMap((name) => ['-x', name]),
    // The cores of a rank are chosen by its threads.
    '--bind-to',
    'none',
    ...(process.getuid?.() === 0 ? ['--allow-run-as-root'] : []),
    ...(hostfile === undefined
      ? worldSize > availableParallelism() / 2
        ? ['--oversubscribe']
        : []
      : ['--hostfile', hostfile]),
  ];
}

/** How this program was started, for each rank to be started likewise. */
function ownCommand(): string[] {
  return [process.execPath, ...process.execArgv, process.argv[1]!];
}

const SETTINGS = {
  // Of Open MPI: ranks that wait let others compute; ways of networking that are not there are not told of.
  OMPI_MCA_mpi_yield_when_idle: '1',
  OMPI_MCA_btl_base_warn_component_unused: '0',
  // Of UCX, below MPICH: it would rewrite the C library's functions for memory, which V8 does not survive.
  UCX_MEM_EVENTS: 'n',
  UCX_MEM_MMAP_HOOK_MODE: 'none',
  UCX_HANDLE_ERRORS: 'none',
};

const PASSED = ['TUNEYARD_HOME', 'TUNEYARD_ENGINE', 'HF_HOME', 'HF_ENDPOINT', 'HF_TOKEN', 'LD_LIBRARY_PATH'];
