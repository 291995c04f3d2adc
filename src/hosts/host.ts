/** A machine that runs can be on: this one, or one reached over SSH. Nothing here knows of VS Code. */
import type { Readable, Writable } from 'node:stream';
import type { Disposable, Event } from 'vscode-jsonrpc';

/** `failed`: given up; connecting again is for a person to ask for. */
export type HostState =
  | { kind: 'disconnected' }
  | { kind: 'connecting'; attempt: number }
  | { kind: 'connected' }
  | { kind: 'failed'; message: string; code: string };

export interface RunOptions {
  signal?: AbortSignal;
  env?: Record<string, string>;
  /** Absolute, or beginning with `~/`. */
  cwd?: string;
}

export interface ExecOptions extends RunOptions {
  /** Default 30 s. `timed_out` behind it, and the process is ended. */
  timeoutMs?: number;
  /** Written to its standard input, which is then closed. */
  input?: string | Uint8Array;
  /** Each piece of output as it comes. */
  onOutput?(text: string): void;
}

export interface ExecResult {
  /** 128 + n where signal n ended it. */
  code: number;
  stdout: string;
  stderr: string;
}

/** A process on the host. Aborting its signal, or losing the connection, ends the streams and settles `exit`. */
export interface HostProcess {
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly stderr: Readable;
  /** The exit status; rejected with `connection_lost` or `cancelled`. */
  readonly exit: Promise<number>;
  kill(): void;
}

export interface FileStat {
  kind: 'file' | 'directory' | 'other';
  bytes: number;
  /** Milliseconds since 1970. */
  modified: number;
}

export interface TransferOptions {
  signal?: AbortSignal;
  /** Bytes that are there already at the target, from an attempt that broke off: go on behind them. Default 0. */
  from?: number;
  /** Bytes there so far, those of `from` included, and in all. */
  onProgress?(bytes: number, total: number): void;
}

/**
 * Paths on the host are absolute POSIX paths or begin with `~/`. Every operation can be cancelled, has a time limit
 * (transfers: as long as bytes move), and throws a TuneyardError: `connection_failed`, `connection_lost`, `timed_out`,
 * `auth_failed`, `host_key_*`, `cancelled`, `file_not_found`, `not_writable`, `disk_full`, `transfer_failed`.
 * Whatever needs a connection makes it.
 */
export interface Host extends Disposable {
  /** `local`, or `ssh:NAME` with the name it has in the SSH config or was added by. */
  readonly id: string;
  /** What a person calls it. */
  readonly label: string;
  readonly state: HostState;
  readonly onDidChangeState: Event<HostState>;

  /** Does nothing where it is connected; a call while connecting joins in. */
  connect(signal?: AbortSignal): Promise<void>;
  /** Ends the connection; what is pending is rejected with `connection_lost`. */
  disconnect(): Promise<void>;

  /** Runs a program with its arguments (no shell in between) to its end. A status other than 0 is not an error here. */
  exec(argv: readonly string[], options?: ExecOptions): Promise<ExecResult>;
  /** Starts a program and hands over its streams. */
  spawn(argv: readonly string[], options?: RunOptions): Promise<HostProcess>;

  /** The user's home directory. */
  home(): Promise<string>;
  /** undefined where there is nothing. */
  stat(path: string): Promise<FileStat | undefined>;
  readFile(path: string, signal?: AbortSignal): Promise<Uint8Array>;
  /** Writes a small file whole: to a temporary name, then renamed. Its folder is made. */
  writeFile(path: string, content: string | Uint8Array, options?: { mode?: number }): Promise<void>;
  /** Sends a file of this machine. Its folder is made. What is broken off stays, to be gone on with. */
  upload(local: string, remote: string, options?: TransferOptions): Promise<void>;
  /** Fetches a file. What is broken off stays, to be gone on with. */
  download(remote: string, local: string, options?: TransferOptions): Promise<void>;
  /** Calls the listener when a file comes, goes or changes. */
  watch(path: string, listener: (stat: FileStat | undefined) => void): Disposable;
}

/** What a connection asks a person. Each answer may be `undefined`: the person went away, and connecting is given up. */
export interface HostPrompts {
  /** A key that no `known_hosts` knows. `fingerprint`: `SHA256:…`, as ssh shows it. True: trust it and remember it. */
  trustHostKey(ask: { host: string; algorithm: string; fingerprint: string }): Promise<boolean | undefined>;
  /** `retry`: the last answer was wrong. */
  passphrase(ask: { host: string; keyFile: string; retry: boolean }): Promise<string | undefined>;
  password(ask: { host: string; user: string; retry: boolean }): Promise<string | undefined>;
  /** keyboard-interactive: one answer a prompt. */
  answers(ask: {
    host: string;
    name: string;
    instructions: string;
    prompts: { text: string; echo: boolean }[];
  }): Promise<string[] | undefined>;
}
