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

/** `missing`: why there can be no VS Code here. `failure`: why there is no extension to put into it. */
export type VsCodeSetup = { missing: string } | { chromium: string; vsix: string } | { failure: string };

/** Vitest calls it by this name, and what it returns at the end. */
export async function setup(project: TestProject): Promise<(() => Promise<void>) | undefined> {
  const say = (line: string) => project.vitest.logger.log(line);
  const browser = await findChromium(say);
  const missing = 'missing' in browser ? browser.missing : await installVsCode(say);
  if (missing !== undefined || 'missing' in browser) {
    project.provide('vscode', { missing: missing ?? '' });
    return undefined;
  }
  const dir = await mkdtemp(join(tmpdir(), 'tuneyard-vsix-'));
  try {
    if (!(await build(() => {}))) throw new Error('the build failed; what it said stands above');
    const vsix = await packageExtension(join(dir, 'tuneyard.vsix'));
    project.provide('vscode', { chromium: browser.path, vsix });
  } catch (error) {
    // Thrown, it would end all the tests that need no VS Code as well.
    project.provide('vscode', { failure: error instanceof Error ? error.message : String(error) });
  }
  return () => rm(dir, { recursive: true, force: true });
}
