/** Which data a command means: a file of this machine, a dataset on the hub, or a file on a host. */
import * as l10n from '@vscode/l10n';
import * as vscode from 'vscode';
import { searchDatasets } from '../recipes/hubSearch';
import { activeUri, isData, isRecipe, passedUri, pickFile } from '../recipes/pickFile';
import { pickOnHub } from '../recipes/pickOnHub';
import { hubEndpoint } from '../recipes/recipeServices';
import { withProgress } from '../recipes/withProgress';
import type { Services } from '../services';
import { formatCount } from '../ui/format';
import { isElsewhere } from './dataPath';
import { pickHostFile } from './hostFiles';

/**
 * @param argument what the command was called with: a file, or data elsewhere as a recipe writes it
 * @returns a file of this machine, or data elsewhere as a recipe writes it; undefined where the person went away
 */
export async function pickData(
  services: Services,
  argument: unknown,
  { title, recipes }: { title: string; recipes: boolean },
): Promise<vscode.Uri | string | undefined> {
  if (typeof argument === 'string' && isElsewhere(argument)) return argument;
  const active = passedUri(argument) ?? activeUri();
  if (active && (isData(active) || (recipes && isRecipe(active)))) return active;
  const chosen = await pickFile({ title, recipes, data: true, elsewhere: true });
  if (chosen === 'hub') return pickHubDataset(title);
  return chosen === 'host' ? pickOnHost(services, title) : chosen;
}

async function pickHubDataset(title: string): Promise<string | undefined> {
  const endpoint = hubEndpoint();
  const name = await pickOnHub<string>({
    title,
    placeholder: l10n.t('Search {0} for a dataset: a name or a part of one', endpoint),
    nothing: l10n.t('No dataset of that name'),
    known: [],
    search: async (text, signal) => {
      const found = await searchDatasets(endpoint, text, signal);
      return found.map(({ name, downloads, gated }) => ({
        label: `$(cloud) ${name}`,
        description: [
          l10n.t('{0} downloads', formatCount(downloads)),
          gated ? l10n.t('asks for consent and a token') : '',
        ]
          .filter(Boolean)
          .join(' · '),
        value: name,
      }));
    },
  });
  return name === undefined ? undefined : `hf://datasets/${name}`;
}

/** @param host its id; asked for where it is not given */
export async function pickOnHost(services: Services, title: string, host?: string): Promise<string | undefined> {
  const { hosts, runners } = services;
  const away = hosts.list().filter(({ id }) => id !== 'local');
  const items = away.map(({ id, label }) => ({ label: `$(remote) ${label}`, id }));
  const id = host ?? (await vscode.window.showQuickPick(items, { title, placeHolder: l10n.t('On which host?') }))?.id;
  if (id === undefined) return undefined;
  const label = hosts.get(id)?.label ?? id;
  const runner = await withProgress(label, (report, signal) => runners.open(id, { signal, onProgress: report }));
  const path = await pickHostFile(runner, title);
  return path === undefined ? undefined : `${id.replace(/^ssh:/, '')}:${path}`;
}
