/** VS Code in a real browser, with the packaged extension in it, as a person has it. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Browser, chromium } from 'playwright-core';
import { inject } from 'vitest';
import { startVsCode } from '../../../scripts/lib/vscode.mjs';
import type { VsCodeSetup } from './setup';
import { ARTIFACTS, Window } from './window';

const CHROMIUM_ARGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

// Benchmarks have no setup that vitest ran: they bring their own.
const found: VsCodeSetup = process.env.VITEST ? inject('vscode') : {};
/** Why there can be no VS Code here; undefined where there can. For `describe.skipIf` and its name. */
export const vsCodeMissing = found.missing;

/** The extension as it is shipped. */
export function shippedVsix(): string {
  if (found.vsix === undefined) throw new Error(found.failure);
  return found.vsix;
}

interface Parts {
  chromium: string;
  vsix: string;
}

/** What the tests were set up with. */
function foundParts(): Parts {
  if (found.chromium === undefined) throw new Error(found.missing);
  return { chromium: found.chromium, vsix: shippedVsix() };
}

export interface VsCodeOptions {
  settings?: Record<string, unknown>;
  env?: Record<string, string>;
  /** Folders whose processes end with this VS Code: whatever runs in them, or names them. */
  folders?: string[];
  /** Default: what the tests were set up with. */
  from?: Parts;
}

export interface WindowOptions {
  /** The language of the extension: `zh-cn`. VS Code's own texts stay English, as no language pack is there. */
  language?: string;
}

export class VsCode implements AsyncDisposable {
  private constructor(
    /** Goes when it is closed. */
    readonly dir: string,
    readonly home: string,
    /** The folder that windows open. */
    readonly workspace: string,
    private readonly port: number,
    private readonly browser: Browser,
    private readonly closeServer: () => Promise<void>,
    private readonly folders: readonly string[],
  ) {}

  static async start({
    settings = {},
    env = {},
    folders = [],
    from = foundParts(),
  }: VsCodeOptions = {}): Promise<VsCode> {
    const dir = await mkdtemp(join(tmpdir(), 'tuneyard-vscode-'));
    const workspace = join(dir, 'workspace');
    await mkdir(workspace);
    // The list of files says that extensions run; of an empty folder there is none.
    await writeFile(join(workspace, 'notes.txt'), '');
    await mkdir(ARTIFACTS, { recursive: true });
    const server = await startVsCode({ dir, vsix: from.vsix, settings, env });
    try {
      const browser = await chromium.launch({ executablePath: from.chromium, args: CHROMIUM_ARGS });
      return new VsCode(dir, server.home, workspace, server.port, browser, server.close, [dir, ...folders]);
    } catch (error) {
      await server.close();
      throw error;
    }
  }

  /** A fresh window on the workspace; ready when extensions run. */
  async open({ language }: WindowOptions = {}): Promise<Window> {
    const context = await this.browser.newContext({ viewport: { width: 1440, height: 900 }, colorScheme: 'dark' });
    await context.grantPermissions(['clipboard-read', 'clipboard-write']);
    if (language !== undefined) {
      await context.addInitScript((value) => {
        Object.defineProperty(globalThis, '_VSCODE_NLS_LANGUAGE', { get: () => value, set: () => {} });
      }, language);
    }
    const page = await context.newPage();
    page.setDefaultTimeout(60_000);
    await page.goto(`http://127.0.0.1:${this.port}/?folder=${encodeURIComponent(this.workspace)}`);
    const window = new Window(page);
    await window.ready();
    return window;
  }

  /** What the extension wrote to its output, of all windows. */
  async output(): Promise<string> {
    const logs = join(this.dir, 'user-data/logs');
    const files = readdirSync(logs, { recursive: true, encoding: 'utf8' }).filter((path) =>
      /Tuneyard\.log$/.test(path),
    );
    return (await Promise.all(files.sort().map((path) => readFile(join(logs, path), 'utf8')))).join('');
  }

  async close(): Promise<void> {
    await this.browser.close();
    await this.closeServer();
    // Trainings are detached and outlive everything else.
    this.folders.forEach(endProcessesOf);
    await rm(this.dir, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** Ends what has a path below the folder in its command line, or works in it. */
function endProcessesOf(folder: string): void {
  for (const entry of readdirSync('/proc')) {
    const pid = Number(entry);
    if (!Number.isInteger(pid) || pid === process.pid) continue;
    try {
      const commandLine = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
      if (commandLine.includes(folder) || readlinkSync(`/proc/${pid}/cwd`).startsWith(folder))
        process.kill(pid, 'SIGKILL');
    } catch {
      // Gone meanwhile, or somebody else's.
    }
  }
}
