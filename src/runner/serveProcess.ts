/** `tuneyard serve` on a host: started, its chatter skipped, and spoken to. */
import type { Readable } from 'node:stream';
import { TuneyardError } from '@protocol/errors';
import { type Contract, Peer } from '@protocol/rpc';
import {
  type JobLine,
  type RunnerClientContract,
  type RunnerContract,
  SERVE_MARKER,
  SERVE_PROTOCOL,
  type ServeHello,
} from '@protocol/serve';
import * as l10n from '@vscode/l10n';
import { createMessageConnection, StreamMessageReader, StreamMessageWriter } from 'vscode-jsonrpc/node';
import type { Host, HostProcess } from '../hosts/host';
import { within } from '../hosts/limits';
import type { InstalledRunner } from './installContext';
import { CUDA_FOLDERS } from './look';
import type { JobOptions, Runner } from './runner';

const START_MS = 30_000;
/** A shell that writes more than this before the runner does is not going to start one. */
const MAX_CHATTER = 1 << 20;

/** $1 …: what is started. CUDA's libraries are shown to the loader where it does not know of them; runs inherit it. */
const START = `
if command -v nvidia-smi >/dev/null 2>&1 && ! { /sbin/ldconfig -p 2>/dev/null || ldconfig -p 2>/dev/null; } | grep -q 'libcublas\\.so\\.12'; then
  for d in ${CUDA_FOLDERS}; do [ -d "$d" ] && LD_LIBRARY_PATH="\${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$d"; done
  export LD_LIBRARY_PATH
fi
exec "$@"`;

export interface LiveRunner extends Runner {
  readonly hello: ServeHello;
  /** Resolves when the connection is over, however. */
  readonly closed: Promise<void>;
  dispose(): void;
}

/** @throws TuneyardError `remote_failed` where it does not start; `timed_out`; what `Host.spawn` throws */
export async function startServe(
  host: Host,
  installed: InstalledRunner,
  { signal, log }: { signal?: AbortSignal; log(text: string): void },
): Promise<LiveRunner> {
  // Its signal ends the process; what cancels the opening must not hang on once it is open.
  const process = await host.spawn(['sh', '-c', START, 'sh', installed.node, installed.program, 'serve', '--stdio']);
  const errors: string[] = [];
  process.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors.push(text);
    log(text.trimEnd());
  });
  try {
    const hello = await greeted(host, process, errors, signal);
    if (hello.protocol !== SERVE_PROTOCOL) {
      throw new TuneyardError(
        'remote_failed',
        l10n.t('The runner on {0} speaks another protocol; reload the window.', host.label),
      );
    }
    return new ServeRunner(host, process, hello, installed);
  } catch (error) {
    process.kill();
    throw error;
  }
}

class ServeRunner implements LiveRunner {
  readonly peer: Peer<RunnerClientContract, RunnerContract>;
  readonly closed: Promise<void>;
  readonly #jobs = new Map<string, (line: JobLine) => void>();
  #jobNumber = 0;

  constructor(
    readonly host: Host,
    private readonly process: HostProcess,
    readonly hello: ServeHello,
    readonly installed: InstalledRunner,
  ) {
    ({ peer: this.peer, closed: this.closed } = speakWith<RunnerClientContract, RunnerContract>(process));
    this.peer.on('job/line', (line) => this.#jobs.get(line.job)?.(line));
    this.peer.listen();
  }

  async job(argv: readonly string[], { cwd, signal, onLine }: JobOptions = {}): Promise<void> {
    const job = String(++this.#jobNumber);
    if (onLine) this.#jobs.set(job, onLine);
    try {
      await this.peer.request('job/run', { job, argv: [...argv], ...(cwd !== undefined && { cwd }) }, signal);
    } finally {
      this.#jobs.delete(job);
    }
  }

  dispose(): void {
    hangUp(this.peer, this.process);
  }
}

/** JSON-RPC with a process; `closed` resolves when it is over, however. Register handlers, then call `listen` on the peer. */
export function speakWith<Here extends Contract, There extends Contract>(
  process: HostProcess,
): { peer: Peer<Here, There>; closed: Promise<void> } {
  const peer = new Peer<Here, There>(
    createMessageConnection(new StreamMessageReader(process.stdout), new StreamMessageWriter(process.stdin)),
  );
  const closed = new Promise<void>((resolve) => {
    peer.onClose(resolve);
    process.exit.then(
      () => resolve(),
      () => resolve(),
    );
  });
  // A process that ended without closing its streams answers nobody.
  void closed.then(() => peer.dispose());
  return { peer, closed };
}

export function hangUp(peer: { dispose(): void }, process: HostProcess): void {
  peer.dispose();
  process.stdin.end();
  process.kill();
}

/** @throws TuneyardError `remote_failed` where it does not start; `timed_out`; `cancelled` */
export function greeted(
  host: Host,
  process: HostProcess,
  errors: readonly string[],
  signal?: AbortSignal,
): Promise<ServeHello> {
  return within(readHello(process, errors), {
    signals: [signal],
    timeoutMs: START_MS,
    timeout: () => l10n.t('The runner on {0} did not start within {1} seconds.', host.label, START_MS / 1000),
  });
}

/** Reads up to the runner's first line, and not a byte further. */
async function readHello({ stdout, exit }: HostProcess, errors: readonly string[]): Promise<ServeHello> {
  let text = Buffer.alloc(0);
  for (;;) {
    const marker = text.indexOf(`${SERVE_MARKER} `);
    const end = marker < 0 ? -1 : text.indexOf('\n', marker);
    if (end >= 0) {
      if (end + 1 < text.length) stdout.unshift(text.subarray(end + 1));
      return JSON.parse(text.toString('utf8', marker + SERVE_MARKER.length, end));
    }
    if (text.length > MAX_CHATTER) throw notStarted(text.toString('utf8', 0, 200));
    const piece = await readPiece(stdout, exit);
    if (piece === undefined) throw notStarted(errors.join('') || text.toString('utf8'));
    text = Buffer.concat([text, piece]);
  }
}

function notStarted(said: string): TuneyardError {
  return new TuneyardError('remote_failed', l10n.t('The runner did not start: {0}', said.trim().slice(-300) || '—'));
}

/** What there is to read; undefined at the end. */
async function readPiece(stdout: Readable, exit: Promise<number>): Promise<Buffer | undefined> {
  const piece: Buffer | null = stdout.read();
  if (piece) return piece;
  if (stdout.readableEnded || stdout.destroyed) return undefined;
  await new Promise<void>((resolve, reject) => {
    const done = () => {
      for (const event of ['readable', 'end', 'close']) stdout.off(event, done);
      resolve();
    };
    for (const event of ['readable', 'end', 'close']) stdout.on(event, done);
    exit.then(() => setImmediate(done), reject);
  });
  return stdout.read() ?? undefined;
}
