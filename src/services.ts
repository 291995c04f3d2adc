/** What the parts of the extension share. Made once, in `extension.ts`. */
import type { ExtensionContext, LogOutputChannel } from 'vscode';
import type { Hosts } from './hosts/hosts';
import type { Runners } from './runner/runner';
import type { Runs } from './runs/runs';

export interface Services {
  context: ExtensionContext;
  /** The output channel "Tuneyard": what happened in detail, never a secret. */
  log: LogOutputChannel;
  hosts: Hosts;
  runners: Runners;
  runs: Runs;
}
