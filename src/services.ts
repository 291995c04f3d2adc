/** What the parts of the extension share. Made once, in `extension.ts`. */
import type { ExtensionContext, LogOutputChannel } from 'vscode';
import type { CloudClient } from './cloud/ui/cloudClient';
import type { Vms } from './cloud/ui/vms';
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
  /** The program that speaks to clouds; it runs only while something is asked. */
  cloud: CloudClient;
  /** VMs, those without a connection too; one that can be reached is among the hosts as well. */
  vms: Vms;
  /** What follows `ssh` to reach a VM by its host's id; undefined for hosts that are no VMs. */
  sshWords(host: string): string[] | undefined;
  /** Texts to read: logs, checks, previews. */
  pages: ReadOnlyPages;
}
