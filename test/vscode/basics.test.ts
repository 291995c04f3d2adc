/** The packaged extension in a real VS Code: it is there, it is quick, its views say what to do. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { missingForVsCode, VsCode, type Window } from '../support/vscode/window';

const missing = await missingForVsCode();

describe.skipIf(missing !== undefined)(`the extension in VS Code${missing ? ` (${missing})` : ''}`, () => {
  let code: VsCode;
  let window: Window;
  beforeAll(async () => {
    code = await VsCode.start();
    await promisify(execFile)('touch', [`${code.workspace}/notes.txt`]);
    window = await code.open();
  });
  afterAll(() => code?.close());

  it('has its commands in the palette', async () => {
    await window.page.keyboard.press('F1');
    await window.page.locator('.quick-input-widget input.input').fill('>Tuneyard: ');
    const rows = window.page.locator('.quick-input-list .monaco-list-row');
    await rows.filter({ hasText: 'Start Fine-tune' }).first().waitFor();
    expect(await rows.count()).toBeGreaterThan(5);
    await window.page.keyboard.press('Escape');
  });

  it('says in empty views what to do', async () => {
    await window.showSidebar();
    await window.page.getByText('No runs yet').waitFor();
    await window.row(/This machine/).waitFor();
    await window.screenshot('empty-dark');
  });
});
