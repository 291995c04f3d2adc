/** A window that opens finds the runs again that were at work when the last one closed. */
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import type { TreeView } from 'vscode';
import { quietly } from '../hosts/quietly';
import type { Services } from '../services';

/**
 * Connects to hosts that had a run at work, without asking a person anything: where a passphrase is needed, the host
 * stays as it was last seen until it is connected by hand. This machine is looked at when its runs are, because that
 * connects to nothing.
 */
export function reattachQuietly(services: Services, view: TreeView<unknown>): void {
  const { runs, hosts, runners, log } = services;
  const open = (id: string) => {
    const host = hosts.get(id);
    if (!host || runners.current(id)) return;
    quietly(() => runners.open(id)).catch((error: unknown) =>
      log.warn(`${host.label}: ${error instanceof Error ? error.message : error}`),
    );
  };
  for (const id of runs.hostsAtWork()) open(id);
  const lookHere = () => {
    if (existsSync(join(homedir(), '.tuneyard', 'runs'))) open('local');
  };
  if (view.visible) lookHere();
  services.context.subscriptions.push(
    view.onDidChangeVisibility(({ visible }) => {
      if (visible) lookHere();
    }),
  );
}
