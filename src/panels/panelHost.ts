/** What all panels have in common: the page, its wire, and what becomes of both when it is hidden, moved or closed. */
import { randomBytes } from 'node:crypto';
import 'vscode-jsonrpc/node';
import { messageWire } from '@protocol/messageWire';
import type { PanelReady } from '@protocol/panels';
import { type Contract, Peer } from '@protocol/rpc';
import * as vscode from 'vscode';
import type { Services } from '../services';
import { panelHtml } from './panelHtml';

export interface PanelOptions<Host extends Contract, Page extends Contract> {
  /** Its script and style are `dist/webview/NAME.{js,css}`. */
  name: 'loss' | 'compare' | 'dataset';
  /** What the page begins with where it has kept nothing itself. */
  state: unknown;
  /** A page has come up: answer it. Called again for each new page; what was registered for the last is gone. */
  serve(peer: Peer<Host, Page>): void;
  /** The panel came to the front or went behind others. */
  onVisible?(visible: boolean): void;
  onClose(): void;
}

/** Fills a panel, which is new or which VS Code brings back after a reload. */
export function hostPanel<Host extends Contract, Page extends Contract>(
  { context }: Services,
  panel: vscode.WebviewPanel,
  options: PanelOptions<Host, Page>,
): void {
  const root = vscode.Uri.joinPath(context.extensionUri, 'dist', 'webview');
  const { webview } = panel;
  webview.options = { enableScripts: true, localResourceRoots: [root] };
  const file = (extension: string) =>
    webview.asWebviewUri(vscode.Uri.joinPath(root, `${options.name}.${extension}`)).toString();
  let peer: Peer<Host, Page> | undefined;
  const subscriptions = [
    webview.onDidReceiveMessage((message: unknown) => {
      if (!isReady(message)) return;
      peer?.dispose();
      peer = new Peer<Host, Page>(
        messageWire({
          post: (sent) => void webview.postMessage(sent),
          onMessage: (listener) => webview.onDidReceiveMessage(listener),
        }),
      );
      options.serve(peer);
      peer.listen();
    }),
    panel.onDidChangeViewState(() => options.onVisible?.(panel.visible)),
    panel.onDidDispose(() => {
      for (const subscription of subscriptions) subscription.dispose();
      peer?.dispose();
      options.onClose();
    }),
  ];
  webview.html = panelHtml({
    title: panel.title,
    language: vscode.env.language,
    nonce: randomBytes(16).toString('base64url'),
    styleNonce: randomBytes(16).toString('base64url'),
    cspSource: webview.cspSource,
    script: file('js'),
    style: file('css'),
    translations: vscode.l10n.bundle,
    state: options.state,
  });
}

function isReady(message: unknown): message is PanelReady {
  return typeof message === 'object' && message !== null && (message as Partial<PanelReady>).tuneyard === 'ready';
}
