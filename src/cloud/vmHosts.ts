/**
 * The VMs that can be reached, as hosts: read from the record itself, so that they are there without asking a cloud, and
 * come and go with it, whichever process makes or deletes them.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { VmSsh } from '@protocol/cloud';
import { type Disposable, Emitter, type Event } from 'vscode-jsonrpc';
import { sshOf, type TunnelCommand } from './keys';
import { Ledger } from './ledger';
import type { VmRecord } from './vmRecord';

export interface VmHostsOptions {
  /** Default 22. */
  port?: number;
  tunnel?: TunnelCommand;
}

export class VmHosts implements Disposable {
  readonly #ledger: Ledger;
  readonly #changed = new Emitter<void>();
  readonly #watch: Disposable;

  /** @param home `~/.tuneyard` */
  constructor(
    home: string,
    private readonly options: VmHostsOptions = {},
  ) {
    this.#ledger = new Ledger(home);
    this.#watch = this.#ledger.watch(() => this.#changed.fire());
  }

  get onDidChange(): Event<void> {
    return this.#changed.event;
  }

  list(): VmSsh[] {
    const { folder } = this.#ledger;
    const hosts: VmSsh[] = [];
    for (const name of namesIn(folder)) {
      if (!name.endsWith('.json')) continue;
      try {
        const record = JSON.parse(readFileSync(join(folder, name), 'utf8')) as VmRecord;
        if (!record.reached || record.ended) continue;
        const ssh = sshOf(this.#ledger, record, this.options);
        if (ssh) hosts.push(ssh);
      } catch {
        // Gone meanwhile
      }
    }
    return hosts;
  }

  dispose(): void {
    this.#watch.dispose();
    this.#changed.dispose();
  }
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder).sort();
  } catch {
    // Somebody has removed it all
    return [];
  }
}
