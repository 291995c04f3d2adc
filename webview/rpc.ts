/** A page's end of the wire to the extension. */
import 'vscode-jsonrpc/browser';
import { messageWire } from '@protocol/messageWire';
import type { PanelReady } from '@protocol/panels';
import { type Contract, Peer } from '@protocol/rpc';
import * as l10n from '@vscode/l10n';

/** What VS Code gives a page, once. */
interface VsCodeApi {
  postMessage(message: unknown): void;
  getState(): unknown;
  setState(state: unknown): void;
}

declare function acquireVsCodeApi(): VsCodeApi;

export interface Connection<Page extends Contract, Host extends Contract, State> {
  peer: Peer<Page, Host>;
  /** As it was kept last: by this page before it was hidden, or by the extension. */
  state: State | undefined;
  /** Kept over hiding, moving and reloading. */
  keep(state: State): void;
}

/** Loads the translations, and calls `listen` on the peer: register handlers in the same task. */
export function connect<Page extends Contract, Host extends Contract, State>(): Connection<Page, Host, State> {
  const translations = embedded('translations');
  if (translations) l10n.config({ contents: translations as Record<string, string> });
  const api = acquireVsCodeApi();
  const connection = messageWire({
    post: (message) => api.postMessage(message),
    onMessage(listener) {
      const heard = ({ data }: MessageEvent) => listener(data);
      window.addEventListener('message', heard);
      return { dispose: () => window.removeEventListener('message', heard) };
    },
  });
  const peer = new Peer<Page, Host>(connection);
  const ready: PanelReady = { tuneyard: 'ready' };
  api.postMessage(ready);
  peer.listen();
  return {
    peer,
    state: (api.getState() ?? embedded('state') ?? undefined) as State | undefined,
    keep: (state) => api.setState(state),
  };
}

function embedded(id: string): unknown {
  const text = document.getElementById(id)?.textContent;
  return text ? JSON.parse(text) : undefined;
}
