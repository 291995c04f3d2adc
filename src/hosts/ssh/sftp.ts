/** The file operations of SFTP, as promises, with errors that a person can read. */
import { TuneyardError } from '@protocol/errors';
import * as l10n from '@vscode/l10n';
import type { SFTPWrapper, Stats } from 'ssh2';
import { inSeconds, within } from '../limits';

/** Every single answer is there within this time. */
const ANSWER_MS = 30_000;

const [NO_SUCH_FILE, PERMISSION_DENIED, FAILURE, UNSUPPORTED] = [2, 3, 4, 8];

type Answer<T> = (error: (Error & { code?: number }) | null | undefined, value: T) => void;

export class Sftp {
  constructor(
    readonly label: string,
    readonly session: SFTPWrapper,
    /** Aborted when the connection is over. */
    readonly ended: AbortSignal,
  ) {}

  stat(path: string, signal?: AbortSignal): Promise<Stats> {
    return this.ask(path, (answer) => this.session.stat(path, answer as never), signal);
  }

  /** undefined where there is nothing. */
  async statIfThere(path: string, signal?: AbortSignal): Promise<Stats | undefined> {
    try {
      return await this.stat(path, signal);
    } catch (error) {
      if (error instanceof TuneyardError && error.code === 'file_not_found') return undefined;
      throw error;
    }
  }

  open(path: string, flags: 'r' | 'r+' | 'w' | 'wx', mode?: number, signal?: AbortSignal): Promise<Buffer> {
    return this.ask(
      path,
      (answer) => this.session.open(path, flags, mode === undefined ? {} : { mode }, answer as never),
      signal,
    );
  }

  fstat(path: string, handle: Buffer, signal?: AbortSignal): Promise<Stats> {
    return this.ask(path, (answer) => this.session.fstat(handle, answer as never), signal);
  }

  truncate(path: string, handle: Buffer, size: number): Promise<void> {
    return this.ask(path, (answer) => this.session.fsetstat(handle, { size } as never, answer as never));
  }

  chmod(path: string, handle: Buffer, mode: number): Promise<void> {
    return this.ask(path, (answer) => this.session.fchmod(handle, mode, answer as never));
  }

  /** Nobody waits for it, nothing hangs on it. */
  closeLater(handle: Buffer): void {
    try {
      this.session.close(handle, () => {});
    } catch {
      // The session is over, and the handle with it
    }
  }

  close(path: string, handle: Buffer): Promise<void> {
    return this.ask(path, (answer) => this.session.close(handle, answer as never));
  }

  /** Up to so many bytes; none at the end of the file. */
  async read(path: string, handle: Buffer, position: number, length: number): Promise<Buffer> {
    const buffer = Buffer.allocUnsafe(length);
    try {
      const count = await this.plain<number>((answer) =>
        this.session.read(handle, buffer, 0, length, position, answer as never),
      );
      return buffer.subarray(0, count);
    } catch (error) {
      if ((error as { code?: number }).code === 1) return buffer.subarray(0, 0);
      throw await this.#explain(error as Error, path);
    }
  }

  async write(path: string, handle: Buffer, data: Buffer, position: number): Promise<void> {
    try {
      await this.plain<number>((answer) => this.session.write(handle, data, 0, data.length, position, answer as never));
    } catch (error) {
      throw await this.#explain(error as Error, path);
    }
  }

  async unlinkIfThere(path: string): Promise<void> {
    await this.ask<void>(path, (answer) => this.session.unlink(path, answer as never)).catch(() => {});
  }

  /** To disk, where the server can. */
  async sync(path: string, handle: Buffer): Promise<void> {
    try {
      await this.ask<void>(path, (answer) => this.session.ext_openssh_fsync(handle, answer as never));
    } catch (error) {
      // ssh2 throws where the server does not have it
      if (error instanceof TuneyardError && error.code !== 'transfer_failed') throw error;
    }
  }

  /** In place of what is there; in one step where the server can. */
  async rename(from: string, to: string): Promise<void> {
    let atomic = true;
    await this.ask<void>(to, (answer) => {
      try {
        this.session.ext_openssh_rename(from, to, answer as never);
      } catch {
        atomic = false;
        answer(undefined, undefined);
      }
    });
    if (atomic) return;
    await this.unlinkIfThere(to);
    await this.ask<void>(to, (answer) => this.session.rename(from, to, answer as never));
  }

  /** With the folders above it. */
  async makeFolder(path: string): Promise<void> {
    const there = await this.statIfThere(path);
    if (there?.isDirectory()) return;
    if (there) {
      throw new TuneyardError('not_writable', l10n.t('{0} on {1} is a file, not a folder.', path, this.label));
    }
    const above = path.replace(/\/+[^/]*\/*$/, '');
    if (above !== '' && above !== path) await this.makeFolder(above);
    try {
      await this.ask<void>(path, (answer) => this.session.mkdir(path, answer as never));
    } catch (error) {
      // Somebody else may have made it meanwhile
      if (!(await this.statIfThere(path))?.isDirectory()) throw error;
    }
  }

  /** One request to its answer, with what went wrong in words. */
  private async ask<T>(path: string, request: (answer: Answer<T>) => void, signal?: AbortSignal): Promise<T> {
    try {
      return await within(this.plain(request), {
        signals: [signal, this.ended],
        timeoutMs: ANSWER_MS,
        timeout: () => l10n.t('{0} did not answer about {1} within {2} s.', this.label, path, inSeconds(ANSWER_MS)),
      });
    } catch (error) {
      throw await this.#explain(error as Error, path);
    }
  }

  private plain<T>(request: (answer: Answer<T>) => void): Promise<T> {
    return new Promise((resolve, reject) => {
      request((error, value) => (error ? reject(error) : resolve(value)));
    });
  }

  async #explain(error: Error & { code?: unknown }, path: string): Promise<TuneyardError> {
    if (error instanceof TuneyardError) return error;
    if (this.ended.aborted) return this.ended.reason;
    const options = { cause: error, data: { path } };
    switch (error.code) {
      case NO_SUCH_FILE:
        return new TuneyardError('file_not_found', l10n.t('There is no {0} on {1}.', path, this.label), options);
      case PERMISSION_DENIED:
        return new TuneyardError(
          'not_writable',
          l10n.t('{0} on {1} cannot be accessed: permission denied.', path, this.label),
          options,
        );
      case FAILURE:
        if (await this.#isFull(path)) {
          return new TuneyardError(
            'disk_full',
            l10n.t('The disk of {0} is full: {1} cannot be written. Free some space there.', this.label, path),
            options,
          );
        }
        break;
      case UNSUPPORTED:
      case undefined:
        if (error.message === 'No response from server') {
          return new TuneyardError('connection_lost', l10n.t('The connection to {0} was lost.', this.label), options);
        }
    }
    return new TuneyardError(
      'transfer_failed',
      l10n.t('{0} on {1} cannot be accessed: {2}.', path, this.label, error.message),
      options,
    );
  }

  /** SFTP has no word for it: what is left of the file system tells. */
  async #isFull(path: string): Promise<boolean> {
    const folder = path.replace(/[^/]*\/*$/, '') || '/';
    try {
      const left = await within(
        this.plain<{ f_bavail: number; f_frsize: number; f_favail: number; f_files: number }>((answer) =>
          this.session.ext_openssh_statvfs(folder, answer as never),
        ),
        { signals: [this.ended], timeoutMs: ANSWER_MS, timeout: () => '' },
      );
      return left.f_bavail * left.f_frsize < 2 ** 20 || (left.f_files > 0 && left.f_favail === 0);
    } catch {
      return false;
    }
  }
}
