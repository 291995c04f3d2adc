/** A process on a host, over a channel of its own. */
import { type Readable, Writable } from 'node:stream';
import { TuneyardError } from '@protocol/errors';
import * as l10n from '@vscode/l10n';
import { drainOutput } from '../drainOutput';
import type { HostProcess, RunOptions } from '../host';
import { inSeconds, onAbort, reasonOf, throwIfAborted, within } from '../limits';
import type { Session } from './link';
import type { LinkPool } from './linkPool';
import { killCommand, remoteCommand, SkipToMark } from './remoteCommand';

/** So long the host's shell may take to start what was asked for. */
const START_MS = 30_000;

export async function startProcess(
  pool: LinkPool,
  argv: readonly string[],
  { signal, env, cwd }: RunOptions,
): Promise<HostProcess> {
  const { line, mark } = remoteCommand(argv, { env, cwd });
  const { channel, status, link } = await pool.exec(line, signal);
  const stdout = new SkipToMark(mark, cwd);
  const stderr = new SkipToMark(mark);
  channel.pipe(stdout);
  channel.stderr.pipe(stderr);
  let pid: number;
  try {
    throwIfAborted(signal);
    pid = await within(stdout.found, {
      signals: [signal, link.ended],
      timeoutMs: START_MS,
      timeout: () => l10n.t('The shell of the host did not start anything within {0} s.', inSeconds(START_MS)),
    });
  } catch (error) {
    channel.resume();
    channel.stderr.resume();
    channel.destroy();
    // Where it has started after all, it is to end
    stdout.found.then(
      (late) => forceEnd(pool, late),
      () => {},
    );
    throw error;
  }
  return new RemoteProcess(pool, { channel, status }, pid, [stdout, stderr], signal, link.ended);
}

class RemoteProcess implements HostProcess {
  readonly stdin: Writable;
  readonly exit: Promise<number>;
  #ended = false;

  constructor(
    private readonly pool: LinkPool,
    { channel, status }: Session,
    private readonly pid: number,
    private readonly output: [SkipToMark, SkipToMark],
    signal: AbortSignal | undefined,
    lost: AbortSignal,
  ) {
    // The channel never answers a write once it is closed; this stream does
    this.stdin = new Writable({
      write: (data, _encoding, done) => void channel.write(data, done),
      final: (done) => void channel.end(done),
    });
    this.stdin.on('error', () => {});

    this.exit = new Promise((resolve, reject) => {
      const breakOff = (error: TuneyardError) => {
        this.#end();
        for (const stream of this.output) {
          channel.unpipe(stream);
          channel.stderr.unpipe(stream);
          stream.end();
        }
        // What still comes is for nobody; without it the channel would never close
        channel.resume();
        channel.stderr.resume();
        reject(error);
      };
      const forgetLost = onAbort(lost, () => breakOff(reasonOf(lost)));
      const forget = onAbort(signal, () => {
        this.kill();
        forgetLost();
        breakOff(reasonOf(signal as AbortSignal));
      });
      status.then(async (code) => {
        if (this.#ended) return;
        this.#end();
        forget();
        // It has ended, whatever happens to the connection now
        if (code !== undefined) forgetLost();
        await drainOutput([
          [channel, this.output[0]],
          [channel.stderr as Readable, this.output[1]],
        ]);
        forgetLost();
        channel.destroy();
        if (code !== undefined) resolve(code);
        else if (lost.aborted) reject(reasonOf(lost));
        else reject(new TuneyardError('connection_lost', l10n.t('The host does not say how the process ended.')));
      });
    });
    this.exit.catch(() => {});
  }

  get stdout(): Readable {
    return this.output[0];
  }

  get stderr(): Readable {
    return this.output[1];
  }

  kill(): void {
    if (!this.#ended) forceEnd(this.pool, this.pid);
  }

  #end(): void {
    this.#ended = true;
    this.stdin.destroy();
  }
}

/** By a command of its own: needs nothing of the server but that it runs commands. */
function forceEnd(pool: LinkPool, pid: number): void {
  pool.exec(killCommand(pid), AbortSignal.timeout(START_MS)).then(
    ({ channel }) => {
      channel.resume();
      channel.stderr.resume();
    },
    // No connection, no process to reach; what hangs on the connection ends with it
    () => {},
  );
}
