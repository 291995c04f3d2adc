/**
 * A panel's page in a real browser, with the real wire to whatever stands for the extension: what VS Code does between
 * the two (hiding throws the page away, state is kept, messages are cloned) is done here in its place.
 */
import { existsSync, mkdirSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import 'vscode-jsonrpc/node';
import { panelHtml } from '@host/panels/panelHtml';
import { messageWire } from '@protocol/messageWire';
import { type Contract, Peer } from '@protocol/rpc';
import { type Browser, chromium, type Page } from 'playwright-core';
import { buildPanels } from '../../../../scripts/build.mjs';
import { THEMES, type ThemeName } from './themes';

const CHROMIUM = process.env.TUNEYARD_CHROMIUM ?? '/usr/bin/chromium';
/** For the names of tests that are skipped. */
export const WITHOUT_CHROMIUM = existsSync(CHROMIUM)
  ? undefined
  : `needs Chromium at ${CHROMIUM} (Debian: apt install chromium)`;

const ROOT = fileURLToPath(new URL('../../../..', import.meta.url));
const ORIGIN = 'http://panel.test';

export async function openBrowser(): Promise<Browser> {
  await buildPanels(() => {});
  return chromium.launch({
    executablePath: CHROMIUM,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });
}

export interface PanelOptions<Host extends Contract, PageSide extends Contract> {
  name: 'loss' | 'compare' | 'dataset';
  serve(peer: Peer<Host, PageSide>): void;
  theme?: ThemeName;
  width?: number;
  height?: number;
  state?: unknown;
  /** Has the page keep motion down, as the system may ask. */
  reducedMotion?: boolean;
}

export interface Panel {
  page: Page;
  /** What the page kept last. */
  kept(): unknown;
  /** What the browser complained of: errors, and what the policy forbade. */
  complaints: string[];
  /** Throws the page away and makes it anew, as VS Code does when a panel is hidden and shown. */
  reload(): Promise<void>;
  setTheme(theme: ThemeName): Promise<void>;
  /** Saves what is to be seen under artifacts/panels/. */
  picture(name: string): Promise<void>;
  close(): Promise<void>;
}

export async function openPanel<Host extends Contract, PageSide extends Contract>(
  browser: Browser,
  options: PanelOptions<Host, PageSide>,
): Promise<Panel> {
  const context = await browser.newContext({
    viewport: { width: options.width ?? 1000, height: options.height ?? 640 },
    reducedMotion: options.reducedMotion ? 'reduce' : 'no-preference',
    deviceScaleFactor: 1,
  });
  const page = await context.newPage();
  const complaints: string[] = [];
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(String(error)));

  let kept: unknown;
  let theme = options.theme ?? 'dark';
  let peer: Peer<Host, PageSide> | undefined;
  let hear: ((message: unknown) => void) | undefined;
  const post = (message: unknown) => {
    // A page that is on its way out hears nothing, as in VS Code.
    page.evaluate((text) => postMessageToPage(text), JSON.stringify(message)).catch(() => {});
  };
  await page.exposeFunction('hostPost', (text: string) => {
    const message = JSON.parse(text);
    if (message.tuneyard === 'ready') {
      peer?.dispose();
      peer = new Peer<Host, PageSide>(
        messageWire({
          post,
          onMessage(listener) {
            hear = listener;
            return { dispose: () => {} };
          },
        }),
      );
      options.serve(peer);
      peer.listen();
    } else hear?.(message);
  });
  await page.exposeFunction('hostKeep', (text: string) => {
    kept = JSON.parse(text);
  });
  await page.route(`${ORIGIN}/**`, async (route) => {
    const path = new URL(route.request().url()).pathname;
    if (path === '/') return route.fulfill({ contentType: 'text/html', body: html(options, theme, kept) });
    if (!/^\/\w+\.(js|css)$/.test(path)) return route.abort();
    const type = path.endsWith('.js') ? 'text/javascript' : 'text/css';
    return route.fulfill({ contentType: type, body: await readFile(join(ROOT, 'dist/webview', path)) });
  });
  const setTheme = async (name: ThemeName) => {
    theme = name;
    await page.evaluate(([kind, css]) => setThemeOfPage(kind!, css!), [classOf(theme), variables(theme)]);
  };
  const load = async () => {
    await page.goto(`${ORIGIN}/`);
    await setTheme(theme);
  };
  await load();
  return {
    page,
    complaints,
    kept: () => kept,
    reload: load,
    setTheme,
    async picture(name) {
      mkdirSync(join(ROOT, 'artifacts/panels'), { recursive: true });
      await page.screenshot({ path: join(ROOT, 'artifacts/panels', `${name}.png`) });
    },
    async close() {
      peer?.dispose();
      await context.close();
    },
  };
}

// Defined in the page by the script below.
declare function postMessageToPage(text: string): void;
declare function setThemeOfPage(kind: string, css: string): void;

const NONCE = 'test';

/** The real page, and before its script what VS Code puts into every webview. */
function html(options: PanelOptions<never, never>, theme: ThemeName, kept: unknown): string {
  const page = panelHtml({
    title: 'Panel',
    language: 'en',
    nonce: NONCE,
    styleNonce: 'style',
    cspSource: ORIGIN,
    script: `${ORIGIN}/${options.name}.js`,
    style: `${ORIGIN}/${options.name}.css`,
    translations: undefined,
    state: options.state,
  });
  const api = `
    globalThis.acquireVsCodeApi = () => ({
      postMessage: (message) => hostPost(JSON.stringify(message)),
      getState: () => (${JSON.stringify(kept ?? null).replaceAll('<', '\\u003c')} ?? undefined),
      setState: (state) => hostKeep(JSON.stringify(state)),
    });
    globalThis.postMessageToPage = (text) => window.postMessage(JSON.parse(text));
    globalThis.setThemeOfPage = (kind, css) => {
      document.documentElement.style.cssText = css;
      document.body.className = kind;
    };
    document.documentElement.style.cssText = ${JSON.stringify(variables(theme))};
  `;
  return page
    .replace('<link', `<script nonce="${NONCE}">${api}</script>\n<link`)
    .replace('<body>', `<body class="${classOf(theme)}">`);
}

const classOf = (theme: ThemeName) =>
  theme === 'high-contrast-light' ? 'vscode-high-contrast-light vscode-high-contrast' : `vscode-${theme}`;

function variables(theme: ThemeName): string {
  const fonts = {
    'font-family': "'Segoe UI', 'DejaVu Sans', sans-serif",
    'font-size': '13px',
    'font-weight': 'normal',
    'editor-font-family': "'DejaVu Sans Mono', monospace",
    'editor-font-size': '14px',
  };
  return Object.entries({ ...fonts, ...THEMES[theme] })
    .map(([name, value]) => `--vscode-${name}: ${value}`)
    .join('; ');
}
