/** Folders and files of this machine, as VS Code sees them. */
import { join } from 'node:path';
import * as vscode from 'vscode';

export async function exists(uri: vscode.Uri): Promise<boolean> {
  try {
    await vscode.workspace.fs.stat(uri);
    return true;
  } catch {
    return false;
  }
}

/** One that is not there yet: `name`, `name-2`, … */
export async function freeFolder(parent: string, name: string): Promise<string> {
  for (let i = 1; ; i++) {
    const folder = join(parent, i === 1 ? name : `${name}-${i}`);
    if (!(await exists(vscode.Uri.file(folder)))) return folder;
  }
}

/** In the system's file manager; where VS Code runs elsewhere than the person sits, in a terminal. */
export async function openFolder(path: string): Promise<void> {
  const isElsewhere = vscode.env.remoteName !== undefined || vscode.env.uiKind === vscode.UIKind.Web;
  if (isElsewhere) vscode.window.createTerminal({ cwd: path }).show();
  else await vscode.commands.executeCommand('revealFileInOS', vscode.Uri.file(path));
}
