/** A host that is reached over SSH. */
import { randomBytes } from 'node:crypto';
import { TuneyardError } from '@protocol/errors';
import * as l10n from '@vscode/l10n';
import pRetry from 'p-retry';
import { type Disposable, Emitter, type Event } from 'vscode-jsonrpc';
import type {
  ExecOptions,
  ExecResult,
  FileStat,
  Host,
  HostProcess,
  HostPrompts,
  HostState,
  RunOptions,
  TransferOptions,
} from '../host';
import { cancelled, reasonOf, throwIfAborted, within } from '../limits';
import { pollWatch } from '../pollWatch';
import { runToEnd } from '../runToEnd';
import { openLink } from './link';
import { LinkPool } from './linkPool';
import { startProcess } from './remoteProcess';
import { Secrets } from './secrets';
import { Sftp } from './sftp';
import type { SshSettings } from './sshSettings';
import { type Course, downloadFile, readWholeFile, uploadFile, writeContent } from './transfer';

export interface SshHostOptions {
  /** What a person calls it, and its id with `ssh:` in front. */
  name: string;
  /** The hosts to go over, itself last, as the configuration has it now. @throws TuneyardError `ssh_config_invalid` */
  route(): SshSettings[];
  prompts: HostPrompts;
  /** What happens, in words; no secrets. */
  log?(text: string): void;
  /** After a lost connection: so often more, the first time after so long, each time twice as long. Default 5, 1000. */
  retry?: { times: number; firstMs: number };
  /** A transfer fails when no byte moves for so long. Default 30 s. */
  stallMs?: number;
}

const RETRY = { times: 5, firstMs: 1000 };
/** All tries together. */
const RETRY_MS = 60_000;
const STALL_MS = 30_000;
/** Whether a connection still lives is clear after this time. */
const PROBE_MS = 5000;
/** What may pass by itself. */
const PASSING = new Set(['connection_failed', 'connection_lost', 'timed_out']);

/** Going on, for everybody who waits for it. */
interface Connecting {
  done: Promise<LinkPool>;
  waiting: number;
  abort: AbortController;
}

export class SshHost implements Host {
  readonly id: string;
  readonly label: string;
  #state: HostState = { kind: 'disconnected' };
  readonly #changed = new Emitter<HostState>();
  readonly #secrets = new Secrets();
  readonly #watches = new Set<Disposable>();
  #pool: LinkPool | undefined;
  #connecting: Connecting | undefined;
  #failure: TuneyardError | undefined;
  /** A connection was there and went: that is worth some patience. */
  #lost = false;
  #sftp: { pool: LinkPool; opening: Promise<Sftp> } | undefined;
  #home: string | undefined;
  #disposed = false;

  constructor(private readonly options: SshHostOptions) {
    this.id = `ssh:${options.name}`;
    this.label = options.name;
  }

  get state(): HostState {
    return this.#state;
  }

  get onDidChangeState(): Event<HostState> {
    return this.#changed.event;
  }

  async connect(signal?: AbortSignal): Promise<void> {
    // A person asks: what failed before counts no more
    this.#failure = undefined;
    await this.#connected(signal);
  }

  async disconnect(): Promise<void> {
    this.#connecting?.abort.abort(cancelled());
    this.#lost = false;
    this.#failure = undefined;
    this.#home = undefined;
    const pool = this.#pool;
    this.#pool = undefined;
    this.#set({ kind: 'disconnected' });
    pool?.primary.close();
  }

  async exec(argv: readonly string[], options: ExecOptions = {}): Promise<ExecResult> {
    // Its time limit is for the program, not for a person who looks for a password
    await this.#connected(options.signal);
    return runToEnd((...args) => this.spawn(...args), argv, options);
  }

  async spawn(argv: readonly string[], options: RunOptions = {}): Promise<HostProcess> {
    return startProcess(await this.#connected(options.signal), argv, options);
  }

  async home(): Promise<string> {
    if (this.#home === undefined) {
      const { stdout } = await this.exec(['sh', '-c', 'printf %s "$HOME"']);
      this.#home = stdout.replace(/(?<=.)\/+$/, '');
    }
    return this.#home;
  }

  async stat(path: string): Promise<FileStat | undefined> {
    const sftp = await this.#files();
    const found = await this.#watched(sftp.statIfThere(await this.#path(path)));
    if (found === undefined) return undefined;
    const kind = found.isFile() ? 'file' : found.isDirectory() ? 'directory' : 'other';
    return { kind, bytes: found.size, modified: found.mtime * 1000 };
  }

  async readFile(path: string, signal?: AbortSignal): Promise<Uint8Array> {
    const sftp = await this.#files(signal);
    return this.#watched(readWholeFile(sftp, await this.#path(path), this.#course({ signal })));
  }

  async writeFile(path: string, content: string | Uint8Array, { mode }: { mode?: number } = {}): Promise<void> {
    const sftp = await this.#files();
    const target = await this.#path(path);
    const temporary = `${target}.${randomBytes(6).toString('hex')}.tmp`;
    const data = Buffer.from(content as Uint8Array);
    const write = async () => {
      await sftp.makeFolder(target.replace(/\/+[^/]*$/, '') || '/');
      try {
        const handle = await sftp.open(temporary, 'wx', mode);
        try {
          await writeContent(sftp, temporary, handle, data, this.#course({}));
          // The mode of an open is cut by the umask
          if (mode !== undefined) await sftp.chmod(temporary, handle, mode);
          await sftp.sync(temporary, handle);
        } finally {
          await sftp.close(temporary, handle);
        }
        await sftp.rename(temporary, target);
      } catch (error) {
        await sftp.unlinkIfThere(temporary);
        throw error;
      }
    };
    await this.#watched(write());
  }

  async upload(local: string, remote: string, options: TransferOptions = {}): Promise<void> {
    const sftp = await this.#files(options.signal);
    await this.#watched(uploadFile(sftp, local, await this.#path(remote), this.#course(options)));
  }

  async download(remote: string, local: string, options: TransferOptions = {}): Promise<void> {
    const sftp = await this.#files(options.signal);
    await this.#watched(downloadFile(sftp, await this.#path(remote), local, this.#course(options)));
  }

  /** Looks while there is a connection; it makes none, so that a host that is left alone stays alone. */
  watch(path: string, listener: (stat: FileStat | undefined) => void): Disposable {
    const watch = pollWatch(
      () => this.stat(path),
      listener,
      () => this.#state.kind === 'connected',
    );
    this.#watches.add(watch);
    return {
      dispose: () => {
        this.#watches.delete(watch);
        watch.dispose();
      },
    };
  }

  dispose(): void {
    this.#disposed = true;
    for (const watch of this.#watches) watch.dispose();
    this.#secrets.forget();
    void this.disconnect();
    this.#changed.dispose();
  }

  /** The connection, made where there is none. Calls meanwhile join in; it is given up when nobody waits any more. */
  async #connected(signal?: AbortSignal): Promise<LinkPool> {
    throwIfAborted(signal);
    if (this.#pool) return this.#pool;
    if (this.#failure) throw this.#failure;
    if (this.#disposed) throw cancelled();
    this.#connecting ??= this.#startConnecting();
    const connecting = this.#connecting;
    connecting.waiting += 1;
    try {
      return await within(connecting.done, { signals: [signal] });
    } finally {
      connecting.waiting -= 1;
      if (connecting.waiting === 0) connecting.abort.abort(cancelled());
    }
  }

  #startConnecting(): Connecting {
    const abort = new AbortController();
    const connecting = { waiting: 0, abort, done: this.#connect(abort.signal) };
    const over = () => {
      if (this.#connecting === connecting) this.#connecting = undefined;
    };
    connecting.done.then(over, over);
    return connecting;
  }

  async #connect(signal: AbortSignal): Promise<LinkPool> {
    const { times, firstMs } = this.options.retry ?? RETRY;
    try {
      const pool = await pRetry(
        async (attempt) => {
          this.#set({ kind: 'connecting', attempt });
          return this.#openPool(signal);
        },
        {
          retries: this.#lost ? times : 0,
          minTimeout: firstMs,
          maxRetryTime: RETRY_MS,
          signal,
          shouldRetry: ({ error }) => error instanceof TuneyardError && PASSING.has(error.code),
        },
      );
      if (signal.aborted) {
        pool.primary.close();
        throw reasonOf(signal);
      }
      this.#lost = false;
      this.#pool = pool;
      this.#set({ kind: 'connected' });
      pool.primary.ended.addEventListener('abort', () => this.#onLost(pool), { once: true });
      if (pool.primary.ended.aborted) this.#onLost(pool);
      return pool;
    } catch (error) {
      if (signal.aborted) {
        if (this.#state.kind === 'connecting') this.#set({ kind: 'disconnected' });
        throw reasonOf(signal);
      }
      const failure = asTuneyardError(error);
      // Whoever closed a question wanted no connection now; nothing failed
      if (failure.code === 'cancelled') this.#set({ kind: 'disconnected' });
      else {
        this.#failure = failure;
        this.#lost = false;
        this.#set({ kind: 'failed', message: failure.message, code: failure.code });
      }
      throw failure;
    }
  }

  async #openPool(signal: AbortSignal): Promise<LinkPool> {
    const { name, prompts, log } = this.options;
    const open = (asking: HostPrompts, until: AbortSignal) => {
      const route = this.options.route();
      log?.(
        `${name}: connecting over ${route.map(({ user, hostName, port }) => `${user}@${hostName}:${port}`).join(', ')}`,
      );
      return openLink(name, route, { prompts: asking, secrets: this.#secrets, signal: until });
    };
    const primary = await open(prompts, signal);
    log?.(`${name}: connected`);
    return new LinkPool(name, primary, () => open(SILENT, primary.ended));
  }

  #onLost(pool: LinkPool): void {
    if (this.#pool !== pool) return;
    this.#pool = undefined;
    this.#lost = true;
    this.options.log?.(`${this.label}: ${(pool.primary.ended.reason as Error).message}`);
    this.#set({ kind: 'disconnected' });
  }

  async #files(signal?: AbortSignal): Promise<Sftp> {
    const pool = await this.#connected(signal);
    if (this.#sftp?.pool !== pool) {
      const opening = pool.sftp().then(
        ({ sftp, link }) => {
          const forget = () => {
            if (this.#sftp?.opening === opening) this.#sftp = undefined;
          };
          sftp.on('error', forget).once('close', forget);
          return new Sftp(this.label, sftp, link.ended);
        },
        (error) => {
          if (this.#sftp?.opening === opening) this.#sftp = undefined;
          throw error;
        },
      );
      opening.catch(() => {});
      this.#sftp = { pool, opening };
    }
    return within(this.#sftp.opening, { signals: [signal] });
  }

  /** What takes too long may be the connection's fault: if it is dead, the next call makes a new one. */
  async #watched<T>(work: Promise<T>): Promise<T> {
    try {
      return await work;
    } catch (error) {
      if (error instanceof TuneyardError && error.code === 'timed_out') await this.#probe(error);
      throw error;
    }
  }

  async #probe(reason: TuneyardError): Promise<void> {
    const pool = this.#pool;
    const files = this.#sftp;
    this.#sftp = undefined;
    files?.opening.then(
      ({ session }) => session.end(),
      () => {},
    );
    if (pool === undefined) return;
    try {
      const { channel } = await pool.exec('exit 0', AbortSignal.timeout(PROBE_MS));
      channel.resume();
      channel.stderr.resume();
    } catch {
      pool.primary.close(new TuneyardError('connection_lost', reason.what));
    }
  }

  async #path(path: string): Promise<string> {
    return path === '~' || path.startsWith('~/') ? `${await this.home()}${path.slice(1)}` : path;
  }

  #course(options: TransferOptions): Course {
    return { ...options, stallMs: this.options.stallMs ?? STALL_MS };
  }

  #set(state: HostState): void {
    if (this.#disposed) return;
    const same = JSON.stringify(state) === JSON.stringify(this.#state);
    this.#state = state;
    if (!same) this.#changed.fire(state);
  }
}

/** For connections that nobody asked for. */
const SILENT: HostPrompts = {
  trustHostKey: async () => undefined,
  passphrase: async () => undefined,
  password: async () => undefined,
  answers: async () => undefined,
};

function asTuneyardError(error: unknown): TuneyardError {
  if (error instanceof TuneyardError) return error;
  const { message } = error as Error;
  return new TuneyardError('internal', l10n.t('Connecting failed: {0}.', message), { cause: error });
}
