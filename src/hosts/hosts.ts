/** The machines a person can choose from: this one, those of the SSH config, those added by hand. */
import type { Event } from 'vscode-jsonrpc';
import type { Host } from './host';

/** A host added by hand. */
export interface AddedHost {
  name: string;
  hostName: string;
  user?: string;
  port?: number;
  identityFile?: string;
}

export interface Hosts {
  /** This machine first, then those of the SSH config in its order, then those added. Nothing connects by being listed. */
  list(): readonly Host[];
  get(id: string): Host | undefined;
  /** @throws TuneyardError `usage` where the name is taken */
  add(host: AddedHost): Promise<Host>;
  /** Only hosts added by hand can be removed. */
  remove(id: string): Promise<void>;
  readonly onDidChange: Event<void>;
}
