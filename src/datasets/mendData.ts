/** Fixes that a person asks for in the panel: an edit that can be undone, or new files; the old file is never replaced. */
import { homedir } from 'node:os';
import { basename, extname, join } from 'node:path';
import type { DatasetFix, DatasetFormat } from '@protocol/dataset';
import type { DatasetPanelState } from '@protocol/datasetPanel';
import { isHubPath } from '@protocol/hubPath';
import * as l10n from '@vscode/l10n';
import * as vscode from 'vscode';
import type { DatasetModel } from '../panels/datasetModel';
import { withProgress } from '../recipes/withProgress';

/** A file that an editor opens, and undoes in. */
export const MOST_EDITED = 20_000_000;

const FILE_FORMATS = ['jsonl', 'json', 'csv', 'tsv', 'parquet'] as const;

const isText = (path: string): boolean => !isHubPath(path) && extname(path).toLowerCase() !== '.parquet';

/** Whether it is a text file of this machine. */
export const isTextHere = ({ path, host }: DatasetPanelState): boolean => host === undefined && isText(path);

export async function mendData(model: DatasetModel, fix: DatasetFix): Promise<void> {
  const edit = { label: l10n.t('Edit the file'), detail: l10n.t('In the editor, unsaved: it can be undone.') };
  const file = { label: l10n.t('Write a new file'), detail: l10n.t('Beside this one, which stays as it is.') };
  const title = fix.kind === 'drop' ? l10n.t('Drop {0} rows', fix.rows.length) : l10n.t('Remove duplicates');
  const sources = model.state.opened?.sources ?? [];
  const mayEdit = isTextHere(model.state) && sources.every(({ path, bytes }) => isText(path) && bytes <= MOST_EDITED);
  const chosen = mayEdit ? await vscode.window.showQuickPick([edit, file], { title }) : file;
  if (chosen === edit) await editFile(model, fix, title);
  else if (chosen === file) {
    const suffix = fix.kind === 'drop' ? 'kept' : 'unique';
    await writeFiles(model, fix, title, await newFile(model.state, { title, suffix }));
  }
}

/** Two new files: one to train on, one to evaluate on. */
export async function splitData(model: DatasetModel): Promise<void> {
  const title = l10n.t('Split into two files');
  const share = await vscode.window.showInputBox({
    title,
    prompt: l10n.t('Which share of the rows is held out for evaluation?'),
    value: '0.1',
    validateInput: (text) =>
      Number(text) > 0 && Number(text) < 1 ? undefined : l10n.t('A number between 0 and 1, such as 0.1.'),
  });
  if (share === undefined) return;
  const fix = { kind: 'split', test_size: Number(share), seed: model.seed } as const;
  // Their names follow from the old one's.
  await writeFiles(model, fix, title, besideOld(model.state));
}

/** A new file in another format. */
export async function convertData(model: DatasetModel): Promise<void> {
  const { opened } = model.state;
  if (!opened) return;
  const title = l10n.t('Convert to another format');
  const formats = [opened.format, ...opened.possible.filter((format) => format !== opened.format)];
  const rows = await vscode.window.showQuickPick(
    formats.map((format) => ({ label: format, description: format === opened.format ? l10n.t('as it is') : '' })),
    { title, placeHolder: l10n.t('What shall a row be?') },
  );
  if (!rows) return;
  const file = await vscode.window.showQuickPick(
    FILE_FORMATS.map((label) => ({ label: `.${label}`, format: label })),
    { title, placeHolder: l10n.t('What shall the file be?') },
  );
  if (!file) return;
  const fix = { kind: 'convert', format: rows.label as DatasetFormat, file_format: file.format } as const;
  const to = await newFile(model.state, { title, suffix: rows.label, extension: file.label });
  await writeFiles(model, fix, title, to);
}

async function editFile(model: DatasetModel, fix: DatasetFix, title: string): Promise<void> {
  const places = await withProgress(title, (_, signal) => model.edits(fix, signal));
  const sources = model.state.opened?.sources ?? [];
  const edits = new vscode.WorkspaceEdit();
  for (const { source, from, to } of places) {
    const path = sources[source]?.path;
    const range = new vscode.Range(from.line - 1, from.character, to.line - 1, to.character);
    if (path !== undefined) edits.delete(vscode.Uri.file(path), range);
  }
  await vscode.workspace.applyEdit(edits);
  for (const [uri] of edits.entries()) {
    const shown = { viewColumn: vscode.ViewColumn.One, preserveFocus: true, preview: false };
    await vscode.window.showTextDocument(await vscode.workspace.openTextDocument(uri), shown);
  }
  vscode.window.setStatusBarMessage(l10n.t('{0} places edited; save, or undo.', places.length), 6000);
}

async function writeFiles(model: DatasetModel, fix: DatasetFix, title: string, to: string | undefined): Promise<void> {
  if (to === undefined) return;
  const { paths, rows } = await withProgress(title, (_, signal) => model.fix(fix, to, signal));
  const said = l10n.t('{0} rows are in {1}.', rows, paths.map((each) => basename(each)).join(', '));
  const [first] = paths;
  if (model.state.host !== undefined || first === undefined) {
    void vscode.window.showInformationMessage(said);
    return;
  }
  const show = l10n.t('Open');
  if ((await vscode.window.showInformationMessage(said, show)) === show)
    await vscode.commands.executeCommand('vscode.open', vscode.Uri.file(first));
}

/** The old file's path; of data on the hub, one like it in the workspace. */
function besideOld({ path, opened }: DatasetPanelState): string {
  if (!isHubPath(path)) return path;
  const folder = vscode.workspace.workspaceFolders?.[0]?.uri.fsPath ?? homedir();
  return join(folder, basename(opened?.sources[0]?.path ?? path));
}

/** Asked for, beside the old one. On a host it is a path there. */
async function newFile(
  state: DatasetPanelState,
  { title, suffix, extension }: { title: string; suffix: string; extension?: string },
): Promise<string | undefined> {
  const { host } = state;
  const old = besideOld(state);
  const ending = extname(old);
  const proposed = `${old.slice(0, old.length - ending.length)}.${suffix}${extension ?? ending}`;
  if (host !== undefined)
    return vscode.window.showInputBox({ title, prompt: l10n.t('Where on {0}?', host), value: proposed });
  return (await vscode.window.showSaveDialog({ title, defaultUri: vscode.Uri.file(proposed) }))?.fsPath;
}
