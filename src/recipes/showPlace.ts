/** Opens a file at a place. */
import * as vscode from 'vscode';
import { type KeyPath, parseRecipe } from './recipeText';

/** The recipe, with a key's value selected. */
export async function showKey(uri: vscode.Uri, key: KeyPath): Promise<void> {
  const document = await vscode.workspace.openTextDocument(uri);
  const { offset, length } = parseRecipe(document.getText()).spanOf(key);
  const selection = new vscode.Range(document.positionAt(offset), document.positionAt(offset + length));
  await vscode.window.showTextDocument(document, { selection });
}

/** A file at a line, 1-based. */
export async function showLine(uri: vscode.Uri, line: number): Promise<void> {
  const position = new vscode.Position(Math.max(0, line - 1), 0);
  await vscode.window.showTextDocument(uri, { selection: new vscode.Range(position, position) });
}
