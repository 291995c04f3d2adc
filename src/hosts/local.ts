/** This machine as a host. */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, open, readFile, rename, rm, stat, truncate } from 'node:fs/promises';
import { constants, homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { PassThrough, type Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { TuneyardError } from '@protocol/errors';
import * as l10n from '@vscode/l10n';
import { type Disposable, Emitter, type Event } from 'vscode-jsonrpc';
import { drainOutput } from './drainOutput';
import { fileError } from './fileError';
import type {
  ExecOptions,
  ExecResult,
  FileStat,
  Host,
  HostProcess,
  HostState,
  RunOptions,
  TransferOptions,
} from './host';
import { cancelled, onAbort, throwIfAborted } from './limits';
import { pollWatch } from './pollWatch';
import { runToEnd } from './runToEnd';

/** How long a process may take to end by itself once it was asked to. */
const KILL_AFTER_MS = 2000;

export class LocalHost implements Host {
  readonly id = 'local';
  readonly state: HostState = { kind: 'connected' };
  readonly #changed = new Emitter<HostState>();
  readonly #home: string;
  readonly #env: Record<string, string>;
  readonly #watches = new Set<Disposable>();

  /** @param home in place of the user's, for what runs here too */
  constructor(home?: string) {
    this.#home = home ?? homedir();
    this.#env = home === undefined ? {} : { HOME: home, USERPROFILE: home };
  }

  get label(): string {
    return l10n.t('This machine');
  }

  get onDidChangeState(): Event<HostState> {
    return this.#changed.event;
  }

  async connect(signal?: AbortSignal): Promise<void> {
    throwIfAborted(signal);
  }

  async disconnect(): Promise<void> {}

  exec(argv: readonly string[], options: ExecOptions = {}): Promise<ExecResult> {
    return runToEnd((...args) => this.spawn(...args), argv, options);
  }

  async spawn(argv: readonly string[], { signal, env, cwd = '~/' }: RunOptions = {}): Promise<HostProcess> {
    throwIfAborted(signal);
    const folder = this.#path(cwd);
    if (!(await stat(folder).catch(() => undefined))?.isDirectory()) {
      throw new TuneyardError('file_not_found', l10n.t('There is no folder {0} on this machine.', folder));
    }
    throwIfAborted(signal);
    const [program = '', ...rest] = argv;
    const child = spawn(program, rest, {
      cwd: folder,
      env: { ...process.env, ...this.#env, ...env },
      // A group of its own, so that what it starts can be ended with it
      detached: process.platform !== 'win32',
      windowsHide: true,
    });
    return new LocalProcess(child, program, signal);
  }

  async home(): Promise<string> {
    return this.#home;
  }

  async stat(path: string): Promise<FileStat | undefined> {
    try {
      const found = await stat(this.#path(path));
      const kind = found.isFile() ? 'file' : found.isDirectory() ? 'directory' : 'other';
      return { kind, bytes: found.size, modified: found.mtimeMs };
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
      throw fileError(error, path);
    }
  }

  async readFile(path: string, signal?: AbortSignal): Promise<Uint8Array> {
    try {
      return await readFile(this.#path(path), { signal });
    } catch (error) {
      throw signal?.aborted ? cancelled() : fileError(error, path);
    }
  }

  async writeFile(path: string, content: string | Uint8Array, { mode }: { mode?: number } = {}): Promise<void> {
    const target = this.#path(path);
    const temporary = `${target}.${randomBytes(6).toString('hex')}.tmp`;
    try {
      await mkdir(dirname(target), { recursive: true });
      const file = await open(temporary, 'wx', mode);
      try {
        await file.writeFile(content);
        // The mode of open() is cut by the umask
        if (mode !== undefined) await file.chmod(mode);
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(temporary, target);
    } catch (error) {
      await rm(temporary, { force: true });
      throw fileError(error, path);
    }
  }

  upload(local: string, remote: string, options: TransferOptions = {}): Promise<void> {
    return copy(local, this.#path(remote), options);
  }

  download(remote: string, local: string, options: TransferOptions = {}): Promise<void> {
    return copy(this.#path(remote), local, options);
  }

  watch(path: string, listener: (stat: FileStat | undefined) => void): Disposable {
    const watch = pollWatch(() => this.stat(path), listener);
    this.#watches.add(watch);
    return {
      dispose: () => {
        this.#watches.delete(watch);
        watch.dispose();
      },
    };
  }

  dispose(): void {
    for (const watch of this.#watches) watch.dispose();
    this.#changed.dispose();
  }

  #path(path: string): string {
    return path === '~' || path.startsWith('~/') ? join(this.#home, path.slice(2)) : path;
  }
}

class LocalProcess implements HostProcess {
  readonly exit: Promise<number>;
  readonly stdout: Readable;
  readonly stderr: Readable;

  constructor(
    private readonly child: ChildProcessWithoutNullStreams,
    program: string,
    signal: AbortSignal | undefined,
  ) {
    // Our own streams: they end when the process is over, even where something it started holds the pipes
    const stdout = new PassThrough();
    const stderr = new PassThrough();
    child.stdout.pipe(stdout, { end: false });
    child.stderr.pipe(stderr, { end: false });
    [this.stdout, this.stderr] = [stdout, stderr];
    // A program that does not read its input must not end ours
    child.stdin.on('error', () => {});

    this.exit = new Promise((resolve, reject) => {
      const forget = onAbort(signal, () => {
        this.kill();
        child.stdout.unpipe(stdout);
        child.stderr.unpipe(stderr);
        stdout.end();
        stderr.end();
        reject(cancelled());
      });
      child.once('error', (error: NodeJS.ErrnoException) => {
        // As a shell has it: 127 for what is not there, 126 for what cannot be run
        forget();
        stderr.end(`${program}: ${error.message}\n`);
        stdout.end();
        resolve(error.code === 'ENOENT' ? 127 : 126);
      });
      child.once('exit', async (code, name) => {
        forget();
        await drainOutput([
          [child.stdout, stdout],
          [child.stderr, stderr],
        ]);
        resolve(code ?? 128 + (name ? constants.signals[name] : 0));
      });
    });
    this.exit.catch(() => {});
  }

  get stdin() {
    return this.child.stdin;
  }

  kill(): void {
    if (this.child.exitCode !== null || this.child.signalCode !== null || this.child.pid === undefined) return;
    this.#signal('SIGTERM');
    const timer = setTimeout(() => this.#signal('SIGKILL'), KILL_AFTER_MS);
    this.child.once('exit', () => clearTimeout(timer));
  }

  #signal(signal: NodeJS.Signals): void {
    const { pid } = this.child;
    if (pid === undefined) return;
    if (process.platform === 'win32') {
      spawn('taskkill', ['/pid', String(pid), '/t', '/f'], { windowsHide: true, stdio: 'ignore' }).on(
        'error',
        () => {},
      );
      return;
    }
    try {
      process.kill(-pid, signal);
    } catch {
      // Over already
    }
  }
}

async function copy(from: string, to: string, { signal, from: start = 0, onProgress }: TransferOptions): Promise<void> {
  throwIfAborted(signal);
  const { size: total } = await stat(from).catch((error) => {
    throw fileError(error, from);
  });
  try {
    await mkdir(dirname(to), { recursive: true });
    const there =
      start > 0
        ? await stat(to).then(
            ({ size }) => size,
            () => 0,
          )
        : 0;
    let done = Math.min(start, there, total);
    onProgress?.(done, total);
    const input = createReadStream(from, { start: done });
    input.on('data', (data) => {
      done += data.length;
      onProgress?.(done, total);
    });
    await pipeline(input, createWriteStream(to, done > 0 ? { flags: 'r+', start: done } : {}), { signal });
    // There may have been more of it than there is to be
    await truncate(to, done);
  } catch (error) {
    throw signal?.aborted ? cancelled() : fileError(error, to);
  }
}
