/** The packaged extension in a real VS Code: it is there, it is quick, its views say what to do. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { VsCode, vsCodeMissing } from '../support/vscode/vsCode';
import type { Window } from '../support/vscode/window';

describe.skipIf(vsCodeMissing)(`the extension in VS Code${vsCodeMissing ? ` (${vsCodeMissing})` : ''}`, () => {
  let code: VsCode;
  let window: Window;
  beforeAll(async () => {
    code = await VsCode.start();
    window = await code.open();
  });
  afterAll(() => code?.close());

  it('says in empty views what to do', async () => {
    await window.showSidebar();
    await window.page.getByText('No runs yet').waitFor();
    await window.screenshots('empty');
  });

  it('opens its log from the palette', async () => {
    await window.command('Tuneyard: Show Output');
    await window.page.locator('.panel .output-view').waitFor();
    const channel = window.page.locator('.panel select[aria-label*="Output"], .panel .monaco-select-box').first();
    expect(await channel.inputValue()).toContain('Tuneyard');
  });
});
