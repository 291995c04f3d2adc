/** The runner on a host, as the rest of the extension uses it. */
import type { Peer } from '@protocol/rpc';
import type { JobLine, RunnerClientContract, RunnerContract } from '@protocol/serve';
import type { Event } from 'vscode-jsonrpc';
import type { Host } from '../hosts/host';
import type { InstalledRunner, OnProgress } from './installContext';

/** A live `tuneyard serve` on a host. When the connection is lost it is over; open another. */
export interface Runner {
  readonly host: Host;
  readonly peer: Peer<RunnerClientContract, RunnerContract>;
  /** What started it, for other commands of its own. */
  readonly installed: InstalledRunner;
  /**
   * Runs a command of the runner's command line with `--json` on the host, and hands over its lines as they come.
   * @throws TuneyardError what the command failed with; `cancelled`; `connection_lost`
   */
  job(argv: readonly string[], options?: JobOptions): Promise<void>;
}

export interface JobOptions {
  /** On the host; default: the home directory. */
  cwd?: string;
  signal?: AbortSignal;
  onLine?(line: JobLine): void;
}

export interface Runners {
  /**
   * The runner of a host: connected to, installed and started where it is not yet. Calls while it is being opened join in.
   * After a lost connection it is opened again by itself, with bounded back-off, as long as somebody follows a run there.
   */
  open(hostId: string, options?: { signal?: AbortSignal; onProgress?: OnProgress }): Promise<Runner>;
  /** The one that is open, if one is; connects to nothing. */
  current(hostId: string): Runner | undefined;
  readonly onDidOpen: Event<Runner>;
  readonly onDidClose: Event<{ hostId: string }>;
}
