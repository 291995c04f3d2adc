/** Pages that are shown and not saved. Showing one again under the same name renews it. */
import * as vscode from 'vscode';

const SCHEME = 'tuneyard-page';
/** Wrapped, without line numbers; named in package.json. */
const LANGUAGE = 'tuneyard-page';

export class ReadOnlyPages implements vscode.TextDocumentContentProvider, vscode.Disposable {
  private readonly texts = new Map<string, string>();
  private readonly changed = new vscode.EventEmitter<vscode.Uri>();
  readonly onDidChange = this.changed.event;
  private readonly subscriptions: vscode.Disposable[];

  constructor() {
    this.subscriptions = [
      this.changed,
      vscode.workspace.registerTextDocumentContentProvider(SCHEME, this),
      vscode.workspace.onDidCloseTextDocument(({ uri }) => {
        if (uri.scheme === SCHEME) this.texts.delete(uri.toString());
      }),
    ];
  }

  provideTextDocumentContent(uri: vscode.Uri): string {
    return this.texts.get(uri.toString()) ?? '';
  }

  /** @param name what the tab is called; @param about tells apart pages of one name */
  async show(name: string, about: string, text: string): Promise<vscode.TextEditor> {
    const uri = vscode.Uri.from({ scheme: SCHEME, path: `/${name}`, query: about });
    const isNew = !this.texts.has(uri.toString());
    this.texts.set(uri.toString(), text);
    const document = await this.open(uri);
    if (!isNew && document.getText() !== text) await this.renew(uri);
    return vscode.window.showTextDocument(document, { preview: true });
  }

  /** A log or a recipe is shown as such, whatever else as a page. */
  private async open(uri: vscode.Uri): Promise<vscode.TextDocument> {
    const document = await vscode.workspace.openTextDocument(uri);
    if (/\.(log|tune\.json)$/.test(uri.path) || document.languageId === LANGUAGE) return document;
    const text = this.texts.get(uri.toString())!;
    // To VS Code, another language is another document: the one before is closed.
    const changed = await vscode.languages.setTextDocumentLanguage(document, LANGUAGE);
    this.texts.set(uri.toString(), text);
    return changed;
  }

  /** Renews a page that is open, where it is; it is not brought to the front. */
  async update(uri: vscode.Uri, text: string): Promise<void> {
    const before = this.texts.get(uri.toString());
    if (before === undefined || before === text) return;
    this.texts.set(uri.toString(), text);
    await this.renew(uri);
  }

  dispose(): void {
    for (const subscription of this.subscriptions) subscription.dispose();
  }

  private renew(uri: vscode.Uri): Promise<void> {
    return new Promise((settle) => {
      const subscription = vscode.workspace.onDidChangeTextDocument(({ document }) => {
        if (document.uri.toString() !== uri.toString()) return;
        subscription.dispose();
        settle();
      });
      this.changed.fire(uri);
    });
  }
}
