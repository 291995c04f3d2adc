/**
 * A program and its arguments as one line for the login shell of a host, whichever that is (sh, bash, zsh, csh, fish).
 * What the shell's start-up files say comes before a mark, and is dropped.
 */
import { randomBytes } from 'node:crypto';
import { Transform, type TransformCallback } from 'node:stream';
import { TuneyardError } from '@protocol/errors';
import * as l10n from '@vscode/l10n';
import type { RunOptions } from '../host';

export interface RemoteCommand {
  line: string;
  /** Stands alone in front of the output and of the error output, followed by the process id. */
  mark: string;
}

/** The process becomes the program: its id is the one that is announced, and its group is its own. */
export function remoteCommand(
  argv: readonly string[],
  { env = {}, cwd }: Pick<RunOptions, 'env' | 'cwd'>,
): RemoteCommand {
  const mark = `tuneyard-${randomBytes(9).toString('hex')}`;
  const script = [
    cwd === undefined ? 'cd 2>/dev/null' : `cd -- ${quotePath(cwd)} 2>/dev/null || { echo ${mark} none; exit 1; }`,
    ...Object.entries(env).map(([name, value]) => `export ${name}=${quote(value)}`),
    // Who has gone away meanwhile starts nothing
    `echo ${mark} $$ || exit 1`,
    `echo ${mark} $$ >&2`,
    `exec ${argv.map(quote).join(' ')}`,
  ].join('\n');
  return { line: forAnyShell(script), mark };
}

/** Ends a process and what it started: asks first, then forces it. */
export function killCommand(pid: number): string {
  const alive = `kill -0 -- -${pid} 2>/dev/null || kill -0 ${pid} 2>/dev/null`;
  const send = (signal: string) => `{ kill -s ${signal} -- -${pid} || kill -s ${signal} ${pid}; } 2>/dev/null`;
  return forAnyShell(
    [send('TERM'), 'for i in 1 2', 'do', `  { ${alive}; } || exit 0`, '  sleep 1', 'done', send('KILL'), 'exit 0'].join(
      '\n',
    ),
  );
}

/** A word for a POSIX shell. */
function quote(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

function quotePath(path: string): string {
  return path === '~' || path.startsWith('~/') ? `"$HOME"/${quote(path.slice(2) || '.')}` : quote(path);
}

/** What csh and fish read otherwise than sh, also between quotation marks, is told by number. */
function forAnyShell(script: string): string {
  const encoded = script.replace(/[\\'!\n]/g, (each) => `\\0${each.charCodeAt(0).toString(8).padStart(3, '0')}`);
  return `exec sh -c 'eval "$(printf %b "$1")"' sh '${encoded}'`;
}

/** Drops everything up to the line with the mark. */
export class SkipToMark extends Transform {
  /** The process id; rejected where the command could not be started at all. */
  readonly found: Promise<number>;
  #before = Buffer.alloc(0);
  #passing = false;
  #find!: (pid: number) => void;
  #fail!: (error: TuneyardError) => void;

  constructor(
    private readonly mark: string,
    private readonly cwd = '~',
  ) {
    super();
    this.found = new Promise((resolve, reject) => {
      this.#find = resolve;
      this.#fail = reject;
    });
    this.found.catch(() => {});
  }

  override _transform(data: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    if (this.#passing) {
      done(null, data);
      return;
    }
    this.#before = Buffer.concat([this.#before, data]);
    const start = this.#before.indexOf(`${this.mark} `);
    const end = start < 0 ? -1 : this.#before.indexOf('\n', start);
    if (end < 0) {
      done();
      return;
    }
    this.#passing = true;
    const said = this.#before.toString('latin1', start + this.mark.length + 1, end).trim();
    if (said === 'none')
      this.#fail(new TuneyardError('file_not_found', l10n.t('There is no folder {0} on the host.', this.cwd)));
    else this.#find(Number(said));
    const rest = this.#before.subarray(end + 1);
    this.#before = Buffer.alloc(0);
    done(null, rest.length > 0 ? rest : undefined);
  }

  override _flush(done: TransformCallback): void {
    if (!this.#passing) {
      const said = this.#before.toString('utf8').trim().slice(-300);
      this.#fail(new TuneyardError('remote_failed', l10n.t('The host ran nothing; its shell said: {0}', said || '-')));
    }
    done();
  }
}
