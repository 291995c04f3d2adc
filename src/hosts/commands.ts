/** What can be done with a host. */
import { homedir } from 'node:os';
import { TuneyardError } from '@protocol/errors';
import type { Check } from '@protocol/runner';
import * as l10n from '@vscode/l10n';
import * as vscode from 'vscode';
import type { Commands } from '../commands';
import { withProgress } from '../recipes/withProgress';
import type { Services } from '../services';
import { checksPage } from './describeHost';
import type { Host } from './host';
import { freeName, parseSshWords } from './sshWords';
import type { HostTree } from './tree';

type Item = { host?: string; cwd?: string } | undefined;

export function hostCommands(services: Services, tree: HostTree): Commands {
  const { hosts, runners, runs, pages, addedHosts } = services;
  const on = async (item: Item, title: string, act: (host: Host) => Promise<unknown>, which = (_: Host) => true) => {
    const host = item?.host === undefined ? await pickHost(hosts.list().filter(which), title) : hosts.get(item.host);
    if (host) await act(host);
  };
  const open = (host: Host) =>
    withProgress(host.label, (report, signal) => runners.open(host.id, { signal, onProgress: report }));
  const isAdded = ({ id }: Host) => addedHosts().some(({ name }) => `ssh:${name}` === id);
  return {
    'tuneyard.host.add': async () => {
      const text = await vscode.window.showInputBox({
        title: l10n.t('Add a host'),
        prompt: l10n.t('As user@host:port, or the ssh command that your provider shows'),
        placeHolder: 'ssh -p 2222 ubuntu@203.0.113.7',
        ignoreFocusOut: true,
        validateInput: (value) => (value.trim() === '' ? undefined : complaint(() => parseSshWords(value))),
      });
      if (text === undefined || text.trim() === '') return;
      const words = parseSshWords(text);
      const host = await hosts.add({
        ...words,
        name: freeName(words, (name) => hosts.get(`ssh:${name}`) !== undefined),
      });
      await open(host);
    },
    'tuneyard.host.remove': (item: Item) =>
      on(
        item,
        l10n.t('Remove a host'),
        async ({ id }) => {
          await runners.close(id);
          await hosts.remove(id);
          runs.forgetHost(id);
        },
        isAdded,
      ),
    'tuneyard.host.connect': (item: Item) => on(item, l10n.t('Connect'), open),
    'tuneyard.host.reconnect': (item: Item) => on(item, l10n.t('Connect again'), open),
    'tuneyard.host.disconnect': (item: Item) =>
      on(
        item,
        l10n.t('Disconnect'),
        ({ id }) => runners.close(id),
        ({ id, state }) => id !== 'local' && (state.kind === 'connected' || state.kind === 'connecting'),
      ),
    'tuneyard.host.refresh': async (item: Item) => {
      const all = item?.host === undefined ? hosts.list().map(({ id }) => id) : [item.host];
      // This machine is asked for nothing by being opened.
      if (item?.host === 'local') await runners.open('local');
      await Promise.all(all.map((id) => tree.refresh(id)));
    },
    'tuneyard.host.doctor': (item: Item) =>
      on(item, l10n.t('Check a machine'), async (host) => {
        const checks = await withProgress(l10n.t('Checking {0}', host.label), async (report, signal) => {
          const runner = await runners.open(host.id, { signal, onProgress: report });
          const found: Check[] = [];
          await runner.job(['doctor'], {
            signal,
            onLine: ({ data }) => {
              if (!data) return;
              found.push(data as Check);
              report((data as Check).name);
            },
          });
          return found;
        });
        await pages.show(l10n.t('Check of {0}', host.label), host.id, checksPage(host.label, checks));
      }),
    'tuneyard.host.openTerminal': (item: Item) =>
      on(item, l10n.t('Open a terminal'), async (host) => {
        openTerminal(services, host, item?.cwd);
      }),
  };
}

/** What a shell would do with it. */
const withHome = (path: string): string => path.replace(/^~(?=\/)/, homedir());

async function pickHost(hosts: readonly Host[], title: string): Promise<Host | undefined> {
  if (hosts.length === 0) throw new TuneyardError('usage', l10n.t('There is no host to do this with.'));
  const items = hosts.map((host) => ({ label: host.label, host }));
  return (await vscode.window.showQuickPick(items, { title }))?.host;
}

function complaint(act: () => unknown): string | undefined {
  try {
    act();
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** The person's own ssh, which has the same configuration and the same keys. */
function openTerminal({ addedHosts, sshWords }: Services, host: Host, cwd: string | undefined): void {
  if (host.id === 'local') {
    vscode.window.createTerminal({ name: host.label, ...(cwd !== undefined && { cwd }) }).show();
    return;
  }
  const added = addedHosts().find(({ name }) => `ssh:${name}` === host.id);
  const config = vscode.workspace.getConfiguration('tuneyard').get<string>('sshConfigPath');
  const ofVm = sshWords(host.id);
  const where = ofVm
    ? [...ofVm, '--']
    : added
      ? [
          ...(added.port === undefined ? [] : ['-p', String(added.port)]),
          ...(added.identityFile === undefined ? [] : ['-i', withHome(added.identityFile)]),
          ...(added.user === undefined ? [] : ['-l', added.user]),
          '--',
          added.hostName,
        ]
      : [...(config ? ['-F', withHome(config)] : []), '--', host.label];
  const goThere = cwd === undefined ? undefined : `cd '${cwd.replaceAll("'", `'\\''`)}' && exec "$SHELL" -l`;
  const shellArgs = goThere === undefined ? where : ['-t', ...where, goThere];
  vscode.window.createTerminal({ name: host.label, shellPath: 'ssh', shellArgs }).show();
}
