/** From a file of samples to a comparison, on a machine behind a real sshd, as a person does it. */
import { cp, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse } from 'jsonc-parser';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Sshd, sshdMissing, startSshd } from '../support/ssh/sshd';
import { chapters } from '../support/vscode/chapters';
import { registry, registryMissing } from '../support/vscode/registry';
import { VsCode, vsCodeMissing } from '../support/vscode/vsCode';
import type { Window } from '../support/vscode/window';

const EXAMPLE = fileURLToPath(new URL('../../examples/default', import.meta.url));
const missing = vsCodeMissing ?? sshdMissing ?? (await registryMissing());

/** More steps than are ever waited for: it is stopped, not awaited, on machines of any speed. */
const STEPS = 100_000;
/** Put over the recipe that is proposed, so that steps are short and looks at the model are many. */
const LONG_AND_LIGHT = {
  dataset: { path: './backstories.jsonl', test_size: 0.02 },
  max_steps: STEPS,
  max_length: 64,
  per_device_train_batch_size: 4,
  lr_scheduler_type: 'constant',
  warmup_ratio: 0,
  logging_steps: 1,
  eval_strategy: 'steps',
  eval_steps: 20,
  save_strategy: 'steps',
  save_steps: 20,
};

describe.skipIf(missing)(`a fine-tune over SSH${missing ? ` (${missing})` : ''}`, () => {
  let sshd: Sshd;
  let code: VsCode;
  let window: Window;
  chapters(() => (window ? { code, window } : undefined));

  beforeAll(async () => {
    sshd = await startSshd();
    const sshConfigPath = join(sshd.dir, 'ssh_config');
    await writeFile(sshConfigPath, sshd.sshConfig('gpu-box'));
    code = await VsCode.start({
      settings: { 'tuneyard.sshConfigPath': sshConfigPath, 'tuneyard.npmRegistry': registry },
      folders: [sshd.home],
    });
    await cp(join(EXAMPLE, 'backstories.jsonl'), join(code.workspace, 'backstories.jsonl'));
    await cp(join(EXAMPLE, 'model'), join(code.workspace, 'model'), { recursive: true });
    window = await code.open();
    await window.showSidebar();
  });
  afterAll(async () => {
    await code?.close();
    await sshd?.dispose();
  });

  const run = () => window.row(/^backstories/);
  const step = async () =>
    Number(/step (\d+)\//.exec(await (await window.panelWith('canvas')).locator('.runs').innerText())?.[1]);

  const stopRun = async () => {
    await window.act(run(), 'Stop Run');
    const heard = window.row(/^backstories, (Stopped|.*stopping after this step)/);
    // A row that is drawn anew in that moment takes no click
    await heard.waitFor({ timeout: 20_000 }).catch(() => window.act(run(), 'Stop Run'));
    await window.row(/^backstories, Stopped/).waitFor({ timeout: 180_000 });
  };

  it('lists the hosts of the SSH config without connecting to them', async () => {
    await window.row('This machine').waitFor();
    await window.row(/gpu-box.*not connected/).waitFor();
    expect(await readFile(join(sshd.dir, 'sshd.log'), 'utf8')).not.toContain('Accepted');
  });

  it('proposes a recipe in three questions', async () => {
    await window.command('Tuneyard: New Recipe');
    await window.question('New recipe').waitFor();
    await window.pick('backstories.jsonl');
    await window.question('2/3').waitFor();
    await window.pick('In this workspace');
    await window.question('3/3').waitFor();
    await window.choice(/This machine.*fits/).waitFor();
    await window.screenshots('where');
    await window.pick('gpu-box');
    await window.editor.getByText('"model"').waitFor();
    await window.codeLens('Start Fine-tune').waitFor();
    await window.screenshots('recipe');
  });

  it('trains on the host it has put the runner on, with a live chart', async () => {
    const file = join(code.workspace, 'backstories.tune.json');
    const recipe = { ...parse(await readFile(file, 'utf8')), ...LONG_AND_LIGHT, num_train_epochs: undefined };
    await writeFile(file, JSON.stringify(recipe, null, 2));
    await window.editor.getByText(`${STEPS}`).waitFor();

    await window.codeLens('Start Fine-tune').click();
    await window.pick('gpu-box');
    await window.appears(run(), 180_000);
    await window.tab('Loss: backstories').waitFor();
    await expect.poll(step, { timeout: 120_000 }).toBeGreaterThan(25);
    const seen = await step();
    await expect.poll(step, { timeout: 60_000 }).toBeGreaterThan(seen);
    const chart = (await window.panelWith('canvas')).locator('canvas[data-chart=loss]');
    expect(await chart.evaluate(coloursOf)).toBeGreaterThan(3);
    await window.row(/gpu-box.*1 run/).waitFor();
    await window.screenshots('running');
    expect(await readdir(join(sshd.home, '.tuneyard/runs'))).toHaveLength(1);
  });

  it('comes back to the run by itself when the window is loaded again', async () => {
    const before = await step();
    await window.reload();
    await window.showSidebar();
    await run().waitFor();
    await window.tab('Loss: backstories').waitFor();
    await expect.poll(step, { timeout: 120_000 }).toBeGreaterThan(before + 5);
    await window.row(/gpu-box.*1 run/).waitFor();
  });

  it('stops it at a step, with a checkpoint', async () => {
    // Few fit on a screen, and none stays for long
    await window.closeNotifications();
    await Promise.all([window.notification(/stopped at step/).waitFor({ timeout: 200_000 }), stopRun()]);
    await window.screenshots('stopped');
    await window.closeNotifications();
    await window.expand(run());
    await window.expand(window.row(/^Checkpoints/));
    await window.rows.filter({ hasText: /^Step \d+.*best/ }).waitFor();
    await window.screenshots('run-parts');
  });

  it('misses no step and has none twice, though the window was away', async () => {
    expect(await stepsOf('before.csv')).toEqual(counted(await step()));
  });

  it('shows what base and tuned model write, side by side', async () => {
    await window.act(run(), 'Compare Models');
    await window.tab(/^Compare/).waitFor();
    await window.command('View: Toggle Maximize Editor Group');
    const panel = await window.panelWith('.bars');
    const texts = panel.locator('td .text');
    await expect.poll(() => panel.locator('td .facts').count(), { timeout: 180_000 }).toBe(6);
    const [base, tuned] = [await texts.nth(0).innerText(), await texts.nth(1).innerText()];
    expect(base.length).toBeGreaterThan(10);
    expect(tuned).not.toBe(base);
    const hashes = await panel.locator('th code').allInnerTexts();
    expect(new Set(hashes).size).toBe(2);
    await window.screenshots('compare');
    await window.command('View: Toggle Maximize Editor Group');
  });

  it('goes on from its checkpoint where it is resumed', async () => {
    await window.tab('Loss: backstories').click();
    const stopped = await step();
    await window.act(run(), 'Resume Run');
    await window.row(/^backstories, Running/).waitFor();
    await expect.poll(step, { timeout: 120_000 }).toBeGreaterThan(stopped + 5);
    await stopRun();
    expect(await stepsOf('after.csv')).toEqual(counted(await step()));
  });

  it('deletes it when that is confirmed, and frees its disk', async () => {
    await window.menu(run(), 'Delete Run');
    const question = window.dialog('Delete the run backstories');
    await question.waitFor();
    await window.screenshots('delete');
    await question.getByRole('button', { name: 'Delete' }).click();
    await run().waitFor({ state: 'detached' });
    expect(await readdir(join(sshd.home, '.tuneyard/runs'))).toEqual([]);
  });

  /** Saves the chart's values as a person does, and reads which steps are in the file. */
  async function stepsOf(name: string): Promise<number[]> {
    await (await window.panelWith('canvas')).locator('vscode-button', { hasText: 'CSV' }).click();
    await window.typePath(join(code.workspace, name));
    await window.notification(`Saved as ${name}`).waitFor();
    await window.closeNotifications();
    const [head, ...rows] = (await readFile(join(code.workspace, name), 'utf8')).trim().split('\r\n');
    const [stepAt, lossAt] = ['step', 'loss'].map((column) => head!.split(',').indexOf(column)) as [number, number];
    return rows.map((row) => row.split(',')).flatMap((cells) => (cells[lossAt] === '' ? [] : [Number(cells[stepAt])]));
  }
});

const counted = (last: number) => Array.from({ length: last }, (_, i) => i + 1);

/** How many colours are on a canvas: of an empty one it is one. */
function coloursOf(canvas: unknown): number {
  const { width, height, getContext } = canvas as Canvas;
  const { data } = getContext.call(canvas, '2d').getImageData(0, 0, width, height);
  return new Set(new Uint32Array(data.buffer)).size;
}

/** What is needed of HTMLCanvasElement, which tests have no types of. */
interface Canvas {
  width: number;
  height: number;
  getContext(kind: '2d'): { getImageData(x: number, y: number, width: number, height: number): { data: Uint8Array } };
}
