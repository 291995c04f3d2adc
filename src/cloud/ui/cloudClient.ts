/**
 * The program that speaks to clouds, as a child process: started when something is asked, ended when nothing was for a
 * while. It goes on with what it has begun when this window closes.
 */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { CloudClientContract, CloudContract, VmProgress } from '@protocol/cloud';
import { TuneyardError } from '@protocol/errors';
import { Peer } from '@protocol/rpc';
import * as l10n from '@vscode/l10n';
import { type Disposable, Emitter, type Event } from 'vscode-jsonrpc';
import { createMessageConnection, StreamMessageReader, StreamMessageWriter } from 'vscode-jsonrpc/node';

export interface CloudClientOptions {
  /** `remote-runner/bin/tuneyard.mjs` of the extension. */
  program: string;
  /** Added to this process's; when it changes, the next request gets a program of its own. */
  environment(): Record<string, string>;
  log(text: string): void;
  /** Default: two minutes. */
  idleMs?: number;
}

type Methods = CloudContract['requests'];

interface Child {
  peer: Peer<CloudClientContract, CloudContract>;
  process: ChildProcessWithoutNullStreams;
  environment: string;
  pending: number;
  isClosed: boolean;
  /** The last words of one that ended. */
  said: string;
}

const IDLE_MS = 120_000;

export class CloudClient implements Disposable {
  readonly #progress = new Emitter<VmProgress>();
  #child: Child | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(private readonly options: CloudClientOptions) {}

  get onDidProgress(): Event<VmProgress> {
    return this.#progress.event;
  }

  /** @throws TuneyardError what the other end threw; `cancelled`; `internal` where the program ends meanwhile */
  async request<M extends keyof Methods & string>(
    method: M,
    params: Methods[M]['params'],
    signal?: AbortSignal,
  ): Promise<Methods[M]['result']> {
    const child = this.#current();
    clearTimeout(this.#timer);
    child.pending++;
    try {
      return await child.peer.request(method, params, signal);
    } catch (error) {
      if (!(error instanceof TuneyardError && error.code === 'connection_lost')) throw error;
      const sentence = l10n.t(
        'The program that speaks to Google ended meanwhile; what it was doing is gone on with. {0}',
        child.said,
      );
      throw new TuneyardError('internal', sentence.trim(), { data: { reason: 'program_ended' }, cause: error });
    } finally {
      child.pending--;
      this.#settle(child);
    }
  }

  dispose(): void {
    clearTimeout(this.#timer);
    if (this.#child) end(this.#child);
    this.#progress.dispose();
  }

  #current(): Child {
    const environment = this.options.environment();
    const key = JSON.stringify(environment);
    const known = this.#child;
    if (known && !known.isClosed && known.environment === key) return known;
    // What it is busy with, it ends with the old settings.
    if (known && known.pending === 0) end(known);
    const child = this.#start(environment, key);
    this.#child = child;
    return child;
  }

  #settle(child: Child): void {
    if (child.pending > 0 || child.isClosed) return;
    if (child !== this.#child) {
      end(child);
      return;
    }
    this.#timer = setTimeout(() => {
      if (child.pending === 0) end(child);
    }, this.options.idleMs ?? IDLE_MS);
  }

  #start(environment: Record<string, string>, key: string): Child {
    const { program, log } = this.options;
    const process_ = spawn(process.execPath, [program, 'vm', 'rpc', '--stdio'], {
      // Electron's program is Node when it is asked to be.
      env: { ...process.env, ...environment, ELECTRON_RUN_AS_NODE: '1' },
    });
    const reader = new StreamMessageReader(process_.stdout);
    const peer = new Peer<CloudClientContract, CloudContract>(
      createMessageConnection(reader, new StreamMessageWriter(process_.stdin)),
    );
    const child: Child = { peer, process: process_, environment: key, pending: 0, isClosed: false, said: '' };
    createInterface({ input: process_.stderr }).on('line', (line) => {
      // Progress comes many times in the same words.
      if (line.slice(0, 500) !== child.said) log(line);
      child.said = line.slice(0, 500);
    });
    const closed = () => {
      child.isClosed = true;
      peer.dispose();
    };
    peer.onClose(closed);
    process_.stdin.on('error', closed);
    process_.on('error', (error) => {
      child.said = error.message;
      closed();
    });
    process_.on('exit', closed);
    peer.on('vm/progress', (progress) => this.#progress.fire(progress));
    peer.listen();
    return child;
  }
}

/** It ends by itself when it has done what it was asked. */
function end(child: Child): void {
  child.isClosed = true;
  child.peer.dispose();
  child.process.stdin.end();
}
