/** A page that is kept up to date as long as somebody looks at it, and stays at its end if it was there. */
import * as vscode from 'vscode';
import type { ReadOnlyPages } from '../recipes/readOnlyPages';

export interface LivePage {
  name: string;
  /** Tells apart pages of one name. */
  about: string;
  read(): Promise<string>;
  /** Calls `renew` whenever there may be something new, until disposed of. */
  watch(renew: () => void): { dispose(): void };
}

const live = new Map<string, vscode.Disposable>();

export async function showLive(pages: ReadOnlyPages, { name, about, read, watch }: LivePage): Promise<void> {
  const editor = await pages.show(name, about, await read());
  const { uri } = editor.document;
  const key = uri.toString();
  toEnd(editor);
  live.get(key)?.dispose();

  let isReading = false;
  const renew = async () => {
    const editors = vscode.window.visibleTextEditors.filter(({ document }) => document.uri.toString() === key);
    if (isReading || editors.length === 0) return;
    isReading = true;
    try {
      const following = editors.filter(isAtEnd);
      await pages.update(uri, await read());
      for (const each of following) toEnd(each);
    } catch {
      // The host is away: what is there stays.
    } finally {
      isReading = false;
    }
  };
  const watched = watch(() => void renew());
  const closed = vscode.workspace.onDidCloseTextDocument((document) => {
    if (document.uri.toString() === key) end.dispose();
  });
  const end = vscode.Disposable.from(closed, {
    dispose: () => {
      watched.dispose();
      if (live.get(key) === end) live.delete(key);
    },
  });
  live.set(key, end);
}

function isAtEnd({ visibleRanges, document }: vscode.TextEditor): boolean {
  return (visibleRanges.at(-1)?.end.line ?? 0) >= document.lineCount - 2;
}

function toEnd(editor: vscode.TextEditor): void {
  const end = editor.document.lineAt(editor.document.lineCount - 1).range;
  editor.revealRange(end, vscode.TextEditorRevealType.Default);
}
