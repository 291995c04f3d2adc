/** What the parts of the extension share. Made once, in `extension.ts`. */
import type { ExtensionContext, LogOutputChannel } from 'vscode';
import type { AddedHost, Hosts } from './hosts/hosts';
import type { VsCodePrompts } from './hosts/prompts';
import type { ReadOnlyPages } from './recipes/readOnlyPages';
import type { RunnerClients } from './runner/runnerClients';
import type { RunStore } from './runs/store';

export interface Services {
  context: ExtensionContext;
  /** The output channel "Tuneyard": what happened in detail, never a secret. */
  log: LogOutputChannel;
  hosts: Hosts;
  /** Those that can be removed. */
  addedHosts(): readonly AddedHost[];
  prompts: VsCodePrompts;
  runners: RunnerClients;
  runs: RunStore;
  /** Texts to read: logs, checks, previews. */
  pages: ReadOnlyPages;
}
