/** The dataset panel in VS Code: one, beside the editor, that follows the cursor in the data. */
import { stat } from 'node:fs/promises';
import { basename, dirname, extname, join } from 'node:path';
import type { DatasetFix } from '@protocol/dataset';
import type { DatasetHostContract, DatasetPageContract } from '@protocol/datasetPanel';
import { TuneyardError } from '@protocol/errors';
import type { Peer } from '@protocol/rpc';
import * as l10n from '@vscode/l10n';
import * as vscode from 'vscode';
import { withSettings } from '../datasets/keepSettings';
import { targetOfData, targetOfRecipe } from '../datasets/target';
import { activeUri, isData, isRecipe, passedUri, pickFile } from '../recipes/pickFile';
import { hubEndpoint } from '../recipes/recipeServices';
import { withProgress } from '../recipes/withProgress';
import { startDataset } from '../runner/datasetProcess';
import type { Services } from '../services';
import { DatasetModel, type DatasetTarget } from './datasetModel';
import { hostPanel } from './panelHost';
import { DATASET_PANEL } from './panelTypes';
import { toldIn } from './told';

const CURSOR_MS = 80;
const TYPING_MS = 400;
/** Characters of an editor's text that is sent while it is being typed. */
const MOST_UNSAVED = 20_000_000;
/** A file that an editor opens, and undoes in. */
const MOST_EDITED = 20_000_000;

let open: { panel: vscode.WebviewPanel; model: DatasetModel } | undefined;

/** @param argument a data file, or a recipe */
export async function previewData(services: Services, argument?: unknown): Promise<void> {
  const title = l10n.t('Preview data');
  const active = passedUri(argument) ?? activeUri();
  const uri =
    active && (isRecipe(active) || isData(active)) ? active : await pickFile({ title, recipes: true, data: true });
  if (!uri) return;
  if (isRecipe(uri)) await (await vscode.workspace.openTextDocument(uri)).save();
  const target = isRecipe(uri) ? await targetOfRecipe(uri.fsPath) : await targetOfData(uri.fsPath);
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

const titleOf = ({ path }: DatasetTarget): string => l10n.t('Samples: {0}', basename(path));

/** A panel that VS Code brings back after a reload. */
export async function restoreDatasetPanel(
  services: Services,
  panel: vscode.WebviewPanel,
  kept: { path?: string } | undefined,
): Promise<void> {
  if (kept?.path === undefined) panel.dispose();
  else fillDatasetPanel(services, panel, await targetOfData(kept.path));
}

function fillDatasetPanel(services: Services, panel: vscode.WebviewPanel, target: DatasetTarget): void {
  const { context, hosts } = services;
  const start = () => {
    const here = hosts.get('local');
    if (!here) throw new TuneyardError('internal', 'this machine is not among the hosts.');
    const endpoint = hubEndpoint();
    return startDataset(here, {
      // Electron's program is Node when it is asked to be.
      node: process.execPath,
      program: join(context.extensionPath, 'remote-runner', 'bin', 'tuneyard.mjs'),
      // Nothing is downloaded for a look.
      env: { ELECTRON_RUN_AS_NODE: '1', HF_HUB_OFFLINE: '1', ...(endpoint ? { HF_ENDPOINT: endpoint } : {}) },
    });
  };
  const model = new DatasetModel(start, target);
  open = { panel, model };
  let page: Peer<DatasetHostContract, DatasetPageContract> | undefined;
  const follower = new Follower(model, (row) => void page?.notify('dataset/show', { row }));
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

/** The row under the cursor is the one that is shown, with what is typed. */
class Follower implements vscode.Disposable {
  readonly #subscriptions: vscode.Disposable[];
  #cursor: NodeJS.Timeout | undefined;
  #typing: NodeJS.Timeout | undefined;
  /** Line that the panel itself has shown. */
  #own: number | undefined;

  constructor(
    private readonly model: DatasetModel,
    private readonly show: (row: number) => void,
  ) {
    const isIt = ({ uri }: vscode.TextDocument) => uri.scheme === 'file' && uri.fsPath === model.state.path;
    this.#subscriptions = [
      vscode.window.onDidChangeTextEditorSelection(({ textEditor, selections }) => {
        const line = (selections[0]?.active.line ?? 0) + 1;
        if (!isIt(textEditor.document)) return;
        if (this.#own === line) this.#own = undefined;
        else this.#follow(line);
      }),
      vscode.workspace.onDidChangeTextDocument(({ document, contentChanges }) => {
        if (isIt(document) && contentChanges.length > 0) this.#typed(document);
      }),
      vscode.workspace.onDidSaveTextDocument((document) => {
        if (!isIt(document)) return;
        clearTimeout(this.#typing);
        // The file is what the editor held.
        void model.setUnsaved(undefined);
      }),
      vscode.workspace.onDidCloseTextDocument((document) => {
        if (isIt(document)) void model.setUnsaved(undefined);
      }),
    ];
  }

  /** With what is in an editor already. */
  begin(): void {
    const { path } = this.model.state;
    const document = vscode.workspace.textDocuments.find(({ uri }) => uri.scheme === 'file' && uri.fsPath === path);
    if (document?.isDirty) this.#typed(document);
    const editor = vscode.window.visibleTextEditors.find((each) => each.document === document);
    if (editor) this.#follow(editor.selection.active.line + 1);
  }

  async reveal(line: number): Promise<void> {
    const uri = vscode.Uri.file(this.model.state.path);
    const shown = vscode.window.visibleTextEditors.find(({ document }) => document.uri.fsPath === uri.fsPath);
    const { size } = await vscode.workspace.fs.stat(uri);
    // VS Code opens no larger ones without a question.
    if (!shown && size > MOST_EDITED) return;
    const at = new vscode.Range(line - 1, 0, line - 1, 0);
    this.#own = line;
    const column = shown?.viewColumn ?? vscode.ViewColumn.One;
    const editor = await vscode.window.showTextDocument(uri, {
      viewColumn: column,
      preserveFocus: true,
      selection: at,
    });
    editor.revealRange(at, vscode.TextEditorRevealType.InCenterIfOutsideViewport);
  }

  dispose(): void {
    clearTimeout(this.#cursor);
    clearTimeout(this.#typing);
    for (const subscription of this.#subscriptions) subscription.dispose();
  }

  #follow(line: number): void {
    clearTimeout(this.#cursor);
    this.#cursor = setTimeout(async () => {
      const sample = await this.model.sample({ line, source: 0 }).catch(() => null);
      if (sample) this.show(sample.row);
    }, CURSOR_MS);
  }

  #typed(document: vscode.TextDocument): void {
    clearTimeout(this.#typing);
    this.#typing = setTimeout(() => {
      const text = document.isDirty ? document.getText() : undefined;
      if ((text?.length ?? 0) <= MOST_UNSAVED) void this.model.setUnsaved(text);
    }, TYPING_MS);
  }
}

function serve(
  services: Services,
  model: DatasetModel,
  follower: Follower,
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
    told(() => (source === 0 && isText(model.state.path) ? follower.reveal(line) : undefined)),
  );
  peer.handle('dataset/report', () =>
    told(() => {
      void model.report();
    }),
  );
  peer.handle('dataset/cancelReport', () => told(() => model.cancelReport()));
  peer.handle('dataset/fix', ({ fix }) => told(() => mend(model, fix)));
  peer.handle('dataset/keep', () => told(() => keep(model)));
}

const isText = (path: string): boolean => extname(path).toLowerCase() !== '.parquet';

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

/** As edits that can be undone, or as a new file beside the old one: a person chooses, and the old file is never replaced. */
async function mend(model: DatasetModel, fix: DatasetFix): Promise<void> {
  const { path } = model.state;
  const { size } = await stat(path);
  const edit = { label: l10n.t('Edit the file'), detail: l10n.t('In the editor, unsaved: it can be undone.') };
  const file = { label: l10n.t('Write a new file'), detail: l10n.t('Beside this one, which stays as it is.') };
  const title = fix.kind === 'drop' ? l10n.t('Drop {0} rows', fix.rows.length) : l10n.t('Remove duplicates');
  const mayEdit = isText(path) && size <= MOST_EDITED && (fix.kind === 'drop' || fix.kind === 'deduplicate');
  const chosen = mayEdit ? await vscode.window.showQuickPick([edit, file], { title }) : file;
  if (chosen === edit) {
    const ranges = await withProgress(title, (_, signal) => model.edits(fix, signal));
    const document = await vscode.workspace.openTextDocument(path);
    const edits = new vscode.WorkspaceEdit();
    for (const { from_line, to_line } of ranges)
      edits.delete(document.uri, new vscode.Range(from_line - 1, 0, to_line, 0));
    await vscode.workspace.applyEdit(edits);
    await vscode.window.showTextDocument(document, { viewColumn: vscode.ViewColumn.One, preserveFocus: true });
    vscode.window.setStatusBarMessage(l10n.t('{0} places edited; save, or undo.', ranges.length), 6000);
  } else if (chosen === file) {
    const suffix = fix.kind === 'drop' ? 'kept' : 'unique';
    const name = basename(path, extname(path));
    const to = await vscode.window.showSaveDialog({
      title,
      defaultUri: vscode.Uri.file(join(dirname(path), `${name}.${suffix}${extname(path)}`)),
    });
    if (!to) return;
    const { paths, rows } = await withProgress(title, (_, signal) => model.fix(fix, to.fsPath, signal));
    const show = l10n.t('Open');
    const said = l10n.t('{0} rows are in {1}.', rows, paths.map((each) => basename(each)).join(', '));
    const [first] = paths;
    if ((await vscode.window.showInformationMessage(said, show)) === show && first !== undefined)
      await vscode.commands.executeCommand('vscode.open', vscode.Uri.file(first));
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
