/** A VS Code window in a real browser, with the packaged extension in it, as a person has it. */
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Browser, chromium, type FrameLocator, type Locator, type Page } from 'playwright-core';
import { build } from '../../../scripts/build.mjs';
import { findChromium, installVsCode, startVsCode } from '../../../scripts/lib/vscode.mjs';
import { packageExtension } from '../../../scripts/package.mjs';

const ARTIFACTS = fileURLToPath(new URL('../../../artifacts/vscode', import.meta.url));
const CHROMIUM_ARGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** Why there can be no VS Code here; undefined where there can. Installs what may be installed. */
export async function missingForVsCode(): Promise<string | undefined> {
  const say = (line: string) => process.stdout.write(`${line}\n`);
  const browser = await findChromium(say);
  return 'missing' in browser ? browser.missing : installVsCode(say);
}

export interface VsCodeOptions {
  settings?: Record<string, unknown>;
  env?: Record<string, string>;
  locale?: string;
}

export class VsCode {
  private constructor(
    readonly dir: string,
    readonly home: string,
    /** The folder that windows open. */
    readonly workspace: string,
    private readonly port: number,
    private readonly browser: Browser,
    private readonly closeServer: () => Promise<void>,
  ) {}

  static async start({ settings, env, locale }: VsCodeOptions = {}): Promise<VsCode> {
    if (!(await build(() => {}))) throw new Error('the extension does not build');
    const dir = await mkdtemp(join(tmpdir(), 'tuneyard-vscode-'));
    const workspace = join(dir, 'workspace');
    await mkdir(workspace);
    await mkdir(ARTIFACTS, { recursive: true });
    const vsix = await packageExtension(join(dir, 'tuneyard.vsix'));
    const server = await startVsCode({ dir, vsix, ...(settings && { settings }), ...(env && { env }) });
    const found = await findChromium();
    if ('missing' in found) throw new Error(found.missing);
    const browser = await chromium.launch({
      executablePath: found.path,
      args: [...CHROMIUM_ARGS, ...(locale ? [`--lang=${locale}`] : [])],
    });
    return new VsCode(dir, server.home, workspace, server.port, browser, server.close);
  }

  /** A fresh window on the workspace; ready when extensions run. */
  async open(): Promise<Window> {
    const context = await this.browser.newContext({ viewport: { width: 1440, height: 900 } });
    await context.grantPermissions(['clipboard-read', 'clipboard-write']);
    const page = await context.newPage();
    await page.goto(`http://127.0.0.1:${this.port}/?folder=${encodeURIComponent(this.workspace)}`);
    const window = new Window(page);
    await window.ready();
    return window;
  }

  async close(): Promise<void> {
    await this.browser.close();
    await this.closeServer();
    await rm(this.dir, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  }
}

export class Window {
  constructor(readonly page: Page) {}

  async ready(): Promise<void> {
    await this.page.locator('.activitybar .action-label[aria-label="Tuneyard"]').waitFor();
    await this.page.locator('.explorer-folders-view .monaco-list-row').first().waitFor();
  }

  async reload(): Promise<void> {
    await this.page.reload();
    await this.page.locator('.activitybar .action-label[aria-label="Tuneyard"]').waitFor();
  }

  /** Runs a command by its name in the palette. */
  async command(name: string): Promise<void> {
    await this.page.keyboard.press('F1');
    const input = this.page.locator('.quick-input-widget input.input');
    await input.fill(`>${name}`);
    await this.page
      .locator('.quick-input-list .monaco-list-row')
      .filter({ hasText: name.replace(/^Tuneyard: /, '') })
      .first()
      .waitFor();
    await this.page.keyboard.press('Enter');
  }

  /** Chooses in a quick pick; without a text: what is offered first. */
  async pick(text?: string | RegExp): Promise<void> {
    const rows = this.page.locator('.quick-input-list .monaco-list-row');
    const row = text === undefined ? rows.first() : rows.filter({ hasText: text }).first();
    await row.waitFor();
    await row.click();
  }

  async type(text: string): Promise<void> {
    const input = this.page.locator('.quick-input-widget input.input');
    await input.fill(text);
    await this.page.keyboard.press('Enter');
  }

  async showSidebar(): Promise<void> {
    const label = this.page.locator('.activitybar .action-item:has(.action-label[aria-label="Tuneyard"])');
    if (!(await label.getAttribute('class'))?.includes('checked')) await label.click();
  }

  row(name: string | RegExp): Locator {
    return this.page.getByRole('treeitem', { name }).first();
  }

  notification(text: string | RegExp): Locator {
    return this.page.locator('.notification-toast').filter({ hasText: text });
  }

  /** The panel whose tab is in front. */
  get panel(): FrameLocator {
    return this.page.frameLocator('iframe.webview.ready').frameLocator('#active-frame');
  }

  async openFile(name: string): Promise<void> {
    await this.page.keyboard.press('Control+P');
    const input = this.page.locator('.quick-input-widget input.input');
    await input.fill(name);
    await this.pick(name);
  }

  async theme(kind: 'light' | 'dark'): Promise<void> {
    await this.page.keyboard.press('Escape');
    await this.command('Preferences: Color Theme');
    await this.type(kind === 'light' ? 'Light Modern' : 'Dark Modern');
    await this.page.locator(`.monaco-workbench.${kind === 'light' ? 'vs' : 'vs-dark'}`).waitFor();
  }

  /** Keeps a picture in artifacts/vscode. */
  async screenshot(name: string): Promise<void> {
    await this.page.screenshot({ path: join(ARTIFACTS, `${name}.png`) });
  }
}
