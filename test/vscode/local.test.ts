/** The example on this machine, and the smaller views around it. */
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parse } from 'jsonc-parser';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { chapters } from '../support/vscode/chapters';
import { registry, registryMissing } from '../support/vscode/registry';
import { VsCode, vsCodeMissing } from '../support/vscode/vsCode';
import type { Window } from '../support/vscode/window';

const missing = vsCodeMissing ?? (await registryMissing());

describe.skipIf(missing)(`the example on this machine${missing ? ` (${missing})` : ''}`, () => {
  let code: VsCode;
  let window: Window;
  chapters(() => (window ? { code, window } : undefined));

  beforeAll(async () => {
    code = await VsCode.start({ settings: { 'tuneyard.npmRegistry': registry } });
    window = await code.open();
    await window.showSidebar();
  });
  afterAll(() => code?.close());

  const example = () => join(code.workspace, 'tuneyard-example');
  const recipe = () => join(example(), 'backstories.tune.json');

  it('says in empty views what to do', async () => {
    await window.page.getByText('No runs yet').waitFor();
    await window.row('This machine').waitFor();
    await window.screenshots('empty');
  });

  it('walks a newcomer through it', async () => {
    await window.page.getByText('take the tour').click();
    await window.page.getByText('Fine-tune a language model').first().waitFor();
    for (const [i, step] of [
      'Begin with data',
      'See it as',
      'Choose a machine',
      'Start, and watch',
      'Compare',
    ].entries()) {
      await window.page.locator('.getting-started-step').filter({ hasText: step }).click();
      await window.screenshots(`walkthrough-${i + 1}`);
    }
    await window.command('View: Close All Editors');
  });

  it('unpacks the example and opens its recipe', async () => {
    await window.page.getByRole('button', { name: 'Open the example' }).click();
    await window.notification('The example lies in').waitFor();
    await window.codeLens('Start Fine-tune').waitFor();
    expect(await readdir(example())).toEqual(expect.arrayContaining(['backstories.jsonl', 'model']));
    await window.closeNotifications();
  });

  it('shows the data as the model will see it', async () => {
    await window.codeLens('Preview data').click();
    await window.tab(/^Samples: backstories/).waitFor();
    const panel = await window.panelWith('.list');
    await panel.locator('.token.learned').first().waitFor();
    await panel.locator('.row').nth(4).click();
    // The line that it comes from is shown in the editor, and the cursor leads back to another one.
    await window.tab(/^backstories.jsonl/).waitFor();
    await panel.getByText(/^Line 5 ·/).waitFor();
    await window.editor.locator('.view-line').nth(11).click();
    await panel.getByText(/^Line 12 ·/).waitFor();
    // What is typed is seen.
    await window.page.keyboard.press('End');
    await window.page.keyboard.press('Enter');
    await window.page.keyboard.type('nonsense');
    await panel.getByText('401 rows').waitFor();
    await window.pressUntil('Control+z', panel.getByText('400 rows'));
    await panel.getByRole('button', { name: 'Look at the whole set' }).click();
    await panel.getByRole('button', { name: /tokens$/ }).waitFor();
    await window.screenshots('preview');
    await window.command('View: Close All Editors');
    await window.openFile('backstories.tune.json');
  });

  it('says what memory it will need', async () => {
    await window.codeLens('Estimate memory').click();
    await window.tab(/^Memory of/).waitFor();
    await window.editor.getByText('Memory at the peak').waitFor();
    await window.screenshots('memory');
    await window.command('View: Close Editor');
  });

  it('marks a mistyped key, and mends it', async () => {
    const text = await readFile(recipe(), 'utf8');
    await writeFile(recipe(), text.replace('"learning_rate"', '"learning_rte"'));
    await window.editor.getByText('learning_rte').first().click();
    await window.page.locator('.squiggly-error, .squiggly-warning').first().waitFor();
    const fix = window.page.locator('.action-widget').getByText('Change to "learning_rate"');
    await window.pressUntil('Control+.', fix);
    await window.screenshots('quick-fix');
    await fix.click();
    await window.editor.getByText('"learning_rate"').waitFor();
    await window.command('File: Save');
    await expect.poll(() => readFile(recipe(), 'utf8')).toBe(text);
    // What is written while VS Code saves, it takes for its own, and does not read.
    await window.page.locator('.tabs-container .tab.dirty').waitFor({ state: 'detached' });
    await window.page.waitForTimeout(1500);
  });

  it('trains the example to its end, and says so', async () => {
    const shorter = { max_steps: 12, logging_steps: 1, eval_strategy: 'steps', eval_steps: 6, max_length: 64 };
    const short = { ...shorter, save_strategy: 'steps', save_steps: 6, num_train_epochs: undefined };
    await writeFile(recipe(), JSON.stringify({ ...parse(await readFile(recipe(), 'utf8')), ...short }, null, 2));
    await window.editor.getByText('max_steps').waitFor();
    await window.codeLens('Start Fine-tune').click();
    await window.pick('This machine');
    await window.appears(window.row(/^backstories/), 240_000);
    await window.appears(window.notification(/backstories is done/), 180_000);
    await window.row(/^backstories, Completed/).waitFor();
    await window.screenshots('completed');
    await window.closeNotifications();
  });

  it('saves the chart as a picture', async () => {
    await (await window.panelWith('canvas')).locator('vscode-button', { hasText: 'PNG' }).click();
    const file = join(code.workspace, 'loss.png');
    await window.typePath(file);
    await window.notification('Saved as loss.png').waitFor();
    await window.closeNotifications();
    const png = await readFile(file);
    expect(png.subarray(1, 4).toString()).toBe('PNG');
    expect(png.readUInt32BE(16)).toBeGreaterThan(300);
  });

  it('keeps which of two texts is the better one, for a later method to train on', async () => {
    await window.act(window.row(/^backstories/), 'Compare Models');
    await window.tab(/^Compare/).waitFor();
    const panel = await window.panelWith('.bars');
    await panel.locator('td vscode-button', { hasText: 'Better' }).nth(1).click({ timeout: 180_000 });
    const file = join(example(), 'preferences.jsonl');
    await expect.poll(() => readFile(file, 'utf8').catch(() => '')).toMatch(/\n$/);
    const { prompt, chosen, rejected } = JSON.parse(await readFile(file, 'utf8'));
    const texts = await panel.locator('td .text').allInnerTexts();
    expect(prompt).toBe(parse(await readFile(recipe(), 'utf8')).generation.prompts[0]);
    expect([rejected, chosen].map(flat)).toEqual(texts.slice(0, 2).map(flat));
  });

  it('exports the model as a folder that other tools read', async () => {
    await window.act(window.row(/^backstories/), 'Export Model');
    await window.pick('Final model');
    await window.typePath(`${code.workspace}/`);
    await window.appears(window.notification(/exported to/), 60_000);
    await window.closeNotifications();
    const exported = await readdir(join(code.workspace, 'backstories'));
    expect(exported).toEqual(expect.arrayContaining(['config.json', 'model.safetensors', 'tokenizer.json']));
  });

  it('checks this machine', async () => {
    await window.menu(window.rowOf('Hosts', 'This machine'), 'Check Host');
    await window.tab(/^Check of/).waitFor();
    await window.page.getByText('ONNX Runtime: 1.').first().waitFor();
    await window.screenshots('check');
  });

  it('speaks Chinese', async () => {
    const chinese = await code.open({ language: 'zh-cn' });
    await chinese.command('View: Show Tuneyard');
    await chinese.row(/^backstories, 已完成/).waitFor();
    await chinese.openFile('backstories.tune.json');
    await chinese.codeLens('开始微调').waitFor();
    await chinese.screenshots('chinese');
  });
});

/** Blanks at the ends are not shown. */
const flat = (text: string) => text.replaceAll(/\s+/g, ' ').trim();
