import { isHubPath } from '@protocol/hubPath';
import * as vscode from 'vscode';
import type { DatasetModel } from '../panels/datasetModel';
import { MOST_EDITED } from './mendData';

const CURSOR_MS = 80;
const TYPING_MS = 400;
/** Characters of an editor's text that is sent while it is being typed. */
const MOST_UNSAVED = 20_000_000;

/** The row under the cursor is the one that is shown, with what is typed. */
export class CursorFollower implements vscode.Disposable {
  readonly #subscriptions: vscode.Disposable[];
  #cursor: NodeJS.Timeout | undefined;
  #typing: NodeJS.Timeout | undefined;
  /** Line that the panel itself has shown. */
  #own: number | undefined;

  constructor(
    private readonly model: DatasetModel,
    private readonly show: (row: number) => void,
  ) {
    const isIt = ({ uri }: vscode.TextDocument) =>
      uri.scheme === 'file' && model.state.host === undefined && uri.fsPath === model.state.path;
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
    const { path, host } = this.model.state;
    if (host !== undefined || isHubPath(path)) return;
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
