/** Once before the tests in VS Code: VS Code itself, a browser, and the extension as it is shipped. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { build } from '../../../scripts/build.mjs';
import { findChromium, installVsCode } from '../../../scripts/lib/vscode.mjs';
import { packageExtension } from '../../../scripts/package.mjs';

declare module 'vitest' {
  interface ProvidedContext {
    vscode: VsCodeSetup;
  }
}

export interface VsCodeSetup {
  /** The extension as it is shipped. */
  vsix?: string;
  /** Why there is none. */
  failure?: string;
  chromium?: string;
  /** Why there can be no VS Code here, or no browser to see it in. */
  missing?: string;
}

/** Vitest calls it by this name, and what it returns at the end. */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const say = (line: string) => project.vitest.logger.log(line);
  const dir = await mkdtemp(join(tmpdir(), 'tuneyard-vsix-'));
  project.provide('vscode', { ...(await pack(join(dir, 'tuneyard.vsix'))), ...(await findVsCode(say)) });
  return () => rm(dir, { recursive: true, force: true });
}

/** Thrown, a failure would end all the tests that need no VS Code as well. */
async function pack(file: string): Promise<VsCodeSetup> {
  try {
    if (!(await build(() => {}))) throw new Error('the build failed; what it said stands above');
    return { vsix: await packageExtension(file) };
  } catch (error) {
    return { failure: error instanceof Error ? error.message : String(error) };
  }
}

async function findVsCode(say: (line: string) => void): Promise<VsCodeSetup> {
  const browser = await findChromium(say);
  if ('missing' in browser) return browser;
  const missing = await installVsCode(say);
  return missing === undefined ? { chromium: browser.path } : { missing };
}
