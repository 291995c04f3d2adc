/** A run's recipe as a new file, to be changed and started. */
import { basename, dirname, join } from 'node:path';
import type { RunSource } from '@protocol/serve';
import * as vscode from 'vscode';
import { exists } from './folders';

/** A new recipe beside the old one, or in an untitled editor where that is not on this machine any more. */
export async function cloneRecipe(
  name: string,
  recipe: Record<string, unknown>,
  source: RunSource | undefined,
): Promise<void> {
  const uri = source?.recipe_path === undefined ? undefined : vscode.Uri.parse(source.recipe_path);
  const text = source?.recipe_text ?? `${JSON.stringify(backHere(recipe, source?.sent ?? {}), null, 2)}\n`;
  const folder = uri?.scheme === 'file' ? dirname(uri.fsPath) : undefined;
  const there = folder !== undefined && (await exists(vscode.Uri.file(folder)));
  if (!there) {
    await openUnsaved(`${name}-2`, text);
    return;
  }
  const base = basename(uri!.fsPath).replace(/(-\d+)?(\.tune)?\.json$/, '') || name;
  for (let i = 2; ; i++) {
    const file = vscode.Uri.file(join(folder, `${base}-${i}.tune.json`));
    if (await exists(file)) continue;
    await vscode.workspace.fs.writeFile(file, new TextEncoder().encode(text));
    await vscode.window.showTextDocument(file);
    return;
  }
}

/** Under a name in the workspace, so that it is known as a recipe before it is saved. */
async function openUnsaved(name: string, text: string): Promise<void> {
  const folder = vscode.workspace.workspaceFolders?.[0]?.uri;
  if (!folder) {
    const document = await vscode.workspace.openTextDocument({ language: 'jsonc', content: text });
    await vscode.window.showTextDocument(document);
    return;
  }
  const uri = vscode.Uri.joinPath(folder, `${name}.tune.json`).with({ scheme: 'untitled' });
  const editor = await vscode.window.showTextDocument(await vscode.workspace.openTextDocument(uri));
  const { document } = editor;
  const all = new vscode.Range(0, 0, document.lineCount, 0);
  await editor.edit((edit) => edit.replace(all, text));
  editor.selection = new vscode.Selection(0, 0, 0, 0);
  editor.revealRange(editor.selection);
}

/** Files that were sent are named as they are here. */
function backHere(value: unknown, sent: Record<string, string>): unknown {
  if (typeof value === 'string') return sent[value] ?? value;
  if (Array.isArray(value)) return value.map((each) => backHere(each, sent));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, backHere(each, sent)]));
}
