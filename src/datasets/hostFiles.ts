/** Finds a data file on a host: folder by folder, or by a path that is typed. */
import type { FolderEntry } from '@protocol/serve';
import * as l10n from '@vscode/l10n';
import * as vscode from 'vscode';
import { isDataName } from '../recipes/pickFile';
import type { Runner } from '../runner/runner';
import { formatBytes } from '../ui/format';

interface Item extends vscode.QuickPickItem {
  go?: { path: string; isFolder: boolean };
}

/** @returns an absolute path there; undefined where the person went away. @throws TuneyardError what asking there throws */
export async function pickHostFile({ host, peer }: Runner, title: string): Promise<string | undefined> {
  let folder = '~/';
  for (;;) {
    const { path, entries } = await peer.request('files/list', { path: folder });
    const chosen = await pick(`${title} · ${host.label}:${path}`, path, entries);
    if (!chosen) return undefined;
    if (!chosen.isFolder) return chosen.path;
    folder = chosen.path;
  }
}

async function pick(title: string, folder: string, entries: readonly FolderEntry[]): Promise<Item['go']> {
  const join = (name: string) => `${folder.replace(/\/$/, '')}/${name}`;
  const folders = entries.filter(({ kind }) => kind === 'directory');
  const files = entries.filter(({ kind, name }) => kind === 'file' && isDataName(name));
  const items: Item[] = [
    ...(folder === '/'
      ? []
      : [{ label: '$(arrow-up) ..', go: { path: folder.replace(/\/[^/]+\/?$/, '') || '/', isFolder: true } }]),
    ...files.map(({ name, bytes }) => ({
      label: `$(file) ${name}`,
      description: formatBytes(bytes),
      go: { path: join(name), isFolder: false },
    })),
    ...folders.map(({ name }) => ({ label: `$(folder) ${name}`, go: { path: join(name), isFolder: true } })),
  ];
  const quick = vscode.window.createQuickPick<Item>();
  quick.title = title;
  quick.placeholder = l10n.t('Choose a file, or type a path that begins with / or ~');
  quick.items = items;
  quick.onDidChangeValue((value) => {
    if (!/^[/~]/.test(value)) {
      quick.items = items;
      return;
    }
    const isFolder = !isDataName(value);
    quick.items = [{ label: value, alwaysShow: true, go: { path: value, isFolder } }, ...items];
  });
  try {
    return await new Promise<Item['go']>((resolve) => {
      quick.onDidAccept(() => resolve(quick.selectedItems[0]?.go));
      quick.onDidHide(() => resolve(undefined));
      quick.show();
    });
  } finally {
    quick.dispose();
  }
}
