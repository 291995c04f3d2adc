/** The dataset panel in VS Code: one, beside the editor, that follows the cursor in the data. */
import { join } from 'node:path';
import type { DatasetHostContract, DatasetPageContract, DatasetPanelState } from '@protocol/datasetPanel';
import { TuneyardError } from '@protocol/errors';
import type { Peer } from '@protocol/rpc';
import * as l10n from '@vscode/l10n';
import * as vscode from 'vscode';
import { CursorFollower } from '../datasets/cursorFollower';
import { isElsewhere, nameOfData } from '../datasets/dataPath';
import { withSettings } from '../datasets/keepSettings';
import { convertData, isTextHere, mendData, splitData } from '../datasets/mendData';
import { pickData, pickOnHost } from '../datasets/pickData';
import { targetOfData, targetOfRecipe, writtenPath } from '../datasets/target';
import { isRecipe } from '../recipes/pickFile';
import { hubEndpoint } from '../recipes/recipeServices';
import { withProgress } from '../recipes/withProgress';
import { startDataset } from '../runner/datasetProcess';
import type { Services } from '../services';
import { DatasetModel, type DatasetPlace, type DatasetTarget } from './datasetModel';
import { hostPanel } from './panelHost';
import { DATASET_PANEL } from './panelTypes';
import { toldIn } from './told';

let open: { panel: vscode.WebviewPanel; model: DatasetModel } | undefined;

/** @param argument a data file, a recipe, or data elsewhere as a recipe writes it */
export async function previewData(services: Services, argument?: unknown): Promise<void> {
  const chosen = await pickData(services, argument, { title: l10n.t('Preview data'), recipes: true });
  if (chosen === undefined) return;
  let target: DatasetTarget;
  if (typeof chosen === 'string') target = await targetOfData(chosen);
  else if (isRecipe(chosen)) {
    await (await vscode.workspace.openTextDocument(chosen)).save();
    target = await targetOfRecipe(chosen.fsPath);
  } else target = await targetOfData(chosen.fsPath);
  if (open) {
    open.panel.title = titleOf(target);
    open.panel.reveal(undefined, true);
    await open.model.show(target);
    return;
  }
  const panel = vscode.window.createWebviewPanel(
    DATASET_PANEL,
    titleOf(target),
    { viewColumn: vscode.ViewColumn.Beside, preserveFocus: true },
    { retainContextWhenHidden: false },
  );
  fillDatasetPanel(services, panel, target);
}

/** @param host its id, as the view of hosts passes it; else one is asked for */
export async function previewHostData(services: Services, host?: string): Promise<void> {
  const chosen = await pickOnHost(services, l10n.t('Preview data'), host);
  if (chosen !== undefined) await previewData(services, chosen);
}

const titleOf = (target: DatasetTarget): string => l10n.t('Samples: {0}', nameOfData(writtenPath(target)));

/** A panel that VS Code brings back after a reload. */
export async function restoreDatasetPanel(
  services: Services,
  panel: vscode.WebviewPanel,
  kept: { path?: string; host?: string } | undefined,
): Promise<void> {
  if (kept?.path === undefined) panel.dispose();
  else {
    const { path, host } = kept;
    const target = await targetOfData(writtenPath({ path, ...(host !== undefined && { host }) }));
    fillDatasetPanel(services, panel, target);
  }
}

function fillDatasetPanel(services: Services, panel: vscode.WebviewPanel, target: DatasetTarget): void {
  const model = new DatasetModel(placeOf(services), target);
  open = { panel, model };
  let page: Peer<DatasetHostContract, DatasetPageContract> | undefined;
  const follower = new CursorFollower(model, (row) => void page?.notify('dataset/show', { row }));
  hostPanel<DatasetHostContract, DatasetPageContract>(services, panel, {
    name: 'dataset',
    state: undefined,
    serve: (peer) => {
      page = peer;
      serve(services, model, follower, peer);
    },
    onClose: () => {
      follower.dispose();
      model.dispose();
      if (open?.model === model) open = undefined;
    },
  });
  void model.open().then(() => follower.begin());
}

function placeOf({ context, hosts, runners }: Services): DatasetPlace {
  const runnerOn = (name: string) =>
    withProgress(name, (report, signal) => runners.open(`ssh:${name}`, { signal, onProgress: report }));
  return {
    async start(name) {
      const env = { HF_ENDPOINT: hubEndpoint() };
      if (name !== undefined) {
        const { host, installed } = await runnerOn(name);
        return startDataset(host, { ...installed, env });
      }
      const here = hosts.get('local');
      if (!here) throw new TuneyardError('internal', 'this machine is not among the hosts.');
      return startDataset(here, {
        // Electron's program is Node when it is asked to be.
        node: process.execPath,
        program: join(context.extensionPath, 'remote-runner', 'bin', 'tuneyard.mjs'),
        env: { ...env, ELECTRON_RUN_AS_NODE: '1' },
      });
    },
    async modelOn(name, model) {
      const runner = await runnerOn(name);
      const { sendTokenizer } = await import('../runner/sync');
      return withProgress(name, (report, signal) => sendTokenizer(runner, model, { signal, onProgress: report }));
    },
  };
}

function serve(
  services: Services,
  model: DatasetModel,
  follower: CursorFollower,
  peer: Peer<DatasetHostContract, DatasetPageContract>,
): void {
  const changed = model.onDidChange((state) => peer.notify('dataset/changed', state));
  peer.onClose(() => changed.dispose());
  const told = toldIn(services);
  peer.handle('dataset/state', () => model.state);
  peer.handle('dataset/rows', ({ from, count }) => model.rows(from, count));
  peer.handle('dataset/sample', (which) => model.sample(which));
  peer.handle('dataset/set', (part) => told(() => model.set(part)));
  peer.handle('dataset/pickModel', () => told(() => pickModel(model)));
  peer.handle('dataset/reveal', ({ source, line }) =>
    told(() => (source === 0 && isTextHere(model.state) ? follower.reveal(line) : undefined)),
  );
  peer.handle('dataset/report', () =>
    told(() => {
      void model.report();
    }),
  );
  peer.handle('dataset/cancelReport', () => told(() => model.cancelReport()));
  peer.handle('dataset/fix', ({ fix }) => told(() => mendData(model, fix)));
  peer.handle('dataset/split', () => told(() => splitData(model)));
  peer.handle('dataset/convert', () => told(() => convertData(model)));
  peer.handle('dataset/keep', () => told(() => keep(model)));
  peer.handle('dataset/newRecipe', () =>
    told(() => vscode.commands.executeCommand('tuneyard.newRecipe', recipeArgument(model.state))),
  );
}

const recipeArgument = (state: DatasetPanelState): vscode.Uri | string => {
  const written = writtenPath(state);
  return isElsewhere(written) ? written : vscode.Uri.file(written);
};

async function pickModel(model: DatasetModel): Promise<void> {
  const folder = { label: `$(folder-opened) ${l10n.t('Choose a folder…')}` };
  const hub = { label: `$(cloud) ${l10n.t('A name on the hub…')}` };
  const none = { label: l10n.t('None: count words') };
  const title = l10n.t('Whose tokens are shown?');
  const chosen = await vscode.window.showQuickPick([folder, hub, none], { title });
  if (chosen === none) await model.countWords();
  else if (chosen === hub) {
    const name = await vscode.window.showInputBox({ title, placeHolder: 'roneneldan/TinyStories-33M' });
    if (name?.trim()) await model.set({ model: name.trim() });
  } else if (chosen === folder) {
    const [uri] = (await vscode.window.showOpenDialog({ title, canSelectFolders: true, canSelectFiles: false })) ?? [];
    if (uri) await model.set({ model: uri.fsPath });
  }
}

async function keep(model: DatasetModel): Promise<void> {
  const { recipe, settings } = model.state;
  if (recipe === undefined) return;
  const document = await vscode.workspace.openTextDocument(recipe);
  const before = (await targetOfRecipe(recipe)).settings;
  const text = document.getText();
  const edit = new vscode.WorkspaceEdit();
  const whole = new vscode.Range(document.positionAt(0), document.positionAt(text.length));
  edit.replace(document.uri, whole, withSettings(text, before, settings));
  await vscode.workspace.applyEdit(edit);
  await document.save();
  await model.show(await targetOfRecipe(recipe));
}
