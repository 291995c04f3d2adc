import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { CompareModel } from '@host/panels/compareModel';
import { modelsOfRun, type RunModels, tunedModel } from '@host/panels/modelCandidates';
import type { Preference } from '@host/panels/preferences';
import type { Runner } from '@host/runner/runner';
import type { CompareHostContract, ComparePageContract, CompareState } from '@protocol/panels';
import type { Browser } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { buildRunner } from '../../support/runner';
import { type Served, startServe } from '../../support/serve';
import { openBrowser, openPanel, type Panel, type PanelOptions, WITHOUT_CHROMIUM } from './support/panelPage';
import { reach, servedRunner } from './support/servedRunner';

const EXAMPLE = fileURLToPath(new URL('../../../examples/default', import.meta.url));

describe.skipIf(WITHOUT_CHROMIUM)(
  `the compare panel${WITHOUT_CHROMIUM ? ` (skipped: ${WITHOUT_CHROMIUM})` : ''}`,
  () => {
    let browser: Browser;
    let dir: string;
    let served: Served;
    let runner: Runner;
    let run: string;
    let models: RunModels;
    const closing: { close(): unknown }[] = [];
    const until = (check: () => unknown) => vi.waitFor(check, { timeout: 30_000, interval: 50 });

    beforeAll(async () => {
      await buildRunner();
      browser = await openBrowser();
      dir = await mkdtemp(join(tmpdir(), 'tuneyard-compare-'));
      served = await startServe(dir);
      runner = servedRunner(served, 'This machine');
      const { peer } = served;
      const recipe = {
        model: join(EXAMPLE, 'model'),
        dataset: join(EXAMPLE, 'backstories.jsonl'),
        device: 'cpu',
        max_length: 64,
        per_device_train_batch_size: 8,
        learning_rate: 0.002,
        max_steps: 12,
        logging_steps: 4,
        eval_strategy: 'no',
        save_strategy: 'steps',
        save_steps: 6,
        generation: { prompts: ['The captain said', 'In the morning'], max_new_tokens: 24, seed: 7 },
      };
      const source = { recipe_path: join(dir, 'backstories.tune.json') };
      run = (await peer.request('runs/start', { recipe, name: 'backstories', source })).id;
      await until(async () => expect(await peer.request('runs/get', { run })).toMatchObject({ state: 'completed' }));
      models = await modelsOfRun(runner, run);
    });
    afterEach(async () => {
      for (const one of closing.splice(0).reverse()) await one.close();
    });
    afterAll(async () => {
      await browser?.close();
      await served?.close();
      await rm(dir, { recursive: true, force: true });
    });

    interface Opened extends Panel {
      model: CompareModel;
      pairs: Preference[];
    }

    type Options = Omit<Partial<PanelOptions<CompareHostContract, ComparePageContract>>, 'state'>;

    async function open(state: Partial<CompareState>, options: Options = {}): Promise<Opened> {
      const model = new CompareModel(reach({ local: runner }), state);
      closing.push({ close: () => model.dispose() });
      const pairs: Preference[] = [];
      const panel = await openPanel<CompareHostContract, ComparePageContract>(browser, {
        name: 'compare',
        ...options,
        serve(peer) {
          const heard = [
            model.onDidChange((changed) => peer.notify('compare/changed', changed)),
            model.onDidWrite((texts) => peer.notify('compare/texts', texts)),
          ];
          peer.onClose(() => {
            for (const one of heard) one.dispose();
          });
          const done = (work: unknown) => {
            void work;
            return null;
          };
          peer.handle('compare/state', () => model.state);
          peer.handle('compare/run', (asked) => done(model.run(asked)));
          peer.handle('compare/cancel', () => done(model.cancel()));
          peer.handle('compare/setSampling', (part) => done(model.setSampling(part)));
          peer.handle('compare/addPrompt', ({ text }) =>
            done(model.run({ what: 'missing', prompt: model.addPrompt(text) })),
          );
          peer.handle('compare/editPrompt', ({ prompt, text }) => done(model.editPrompt(prompt, text)));
          peer.handle('compare/removePrompt', ({ prompt }) => done(model.removePrompt(prompt)));
          peer.handle('compare/removeModel', (asked) => done(model.removeModel(asked.model)));
          peer.handle('compare/pickModels', () => done(model.addModels(models.checkpoints)));
          peer.handle('compare/prefer', ({ prompt, chosen, rejected }) => {
            pairs.push(model.preference(prompt, chosen, rejected));
            model.keptPair(join(dir, 'preferences.jsonl'));
            return null;
          });
        },
      });
      closing.push(panel);
      return { ...panel, model, pairs };
    }

    const columns = () => [models.base!, tunedModel(models)!];
    const prompts = () => models.prompts.map((text, i) => ({ id: String(i), text }));
    const start = (): Partial<CompareState> => ({
      models: columns(),
      prompts: prompts(),
      sampling: { ...models.sampling } as CompareState['sampling'],
    });

    const tables = ({ page }: Panel) => page.locator('tbody tr');
    const cell = (panel: Panel, row: number, column: number) => tables(panel).nth(row).locator('td').nth(column);
    const writtenBy = ({ model }: Opened) => model.state.texts.map((text) => text.cell?.weights);

    it('writes the texts of base and tuned model as they come, each with the hash of its own weights', async () => {
      const panel = await open({
        ...start(),
        sampling: { ...(models.sampling as CompareState['sampling']), max_new_tokens: 400 },
      });
      // On the way: some of a text. It may be whole before the next look at the page.
      const grew = panel.page.evaluate(`new Promise((resolve) => {
        const isGrowing = () => document.querySelector('.text[aria-busy=true]') !== null;
        const observer = new MutationObserver(() => isGrowing() && resolve());
        observer.observe(document.body, { subtree: true, childList: true, attributes: true });
      })`);
      await panel.page.getByRole('button', { name: 'Write the texts that are missing or stale' }).click();
      await grew;
      await panel.page.getByText('Rerun all').waitFor();
      const [base, tuned] = writtenBy(panel);
      expect(base).toMatch(/^sha256:[0-9a-f]{12}$/);
      expect(tuned).toMatch(/^sha256:[0-9a-f]{12}$/);
      expect(tuned).not.toBe(base);
      expect(writtenBy(panel)).toEqual([base, tuned, base, tuned]);
      await expect(panel.page.locator('thead').innerText()).resolves.toContain(base!);
      const written = panel.model.state.texts[1]!.text;
      await expect(cell(panel, 0, 1).locator('.text').textContent()).resolves.toBe(written);
      await expect(cell(panel, 0, 1).innerText()).resolves.toMatch(/\d+ unique words/);
      expect(await cell(panel, 0, 1).locator('.differs').count()).toBeGreaterThan(0);
      expect(await cell(panel, 0, 0).locator('.differs').count()).toBe(0);
      expect(await cell(panel, 0, 0).locator('.repeats').count()).toBeGreaterThan(0);
      expect(panel.complaints).toEqual([]);
    });

    it('marks texts stale when sampling or a prompt changes, and writes only what is asked for anew', async () => {
      const panel = await open(start());
      const { page, model } = panel;
      await model.run({ what: 'missing' });
      // Without sampling the temperature changes nothing, and cannot be set.
      expect(await page.getByRole('textbox', { name: 'Temperature' }).isDisabled()).toBe(true);
      await page.getByRole('textbox', { name: 'Length' }).fill('12');
      await page.keyboard.press('Tab');
      await page.getByText('Run 4').waitFor();
      expect(await page.locator('td.stale').count()).toBe(4);
      await panel.picture('compare-stale');
      await cell(panel, 0, 1).getByText('Rerun').click();
      await page.getByText('Run 3').waitFor();
      await until(() => expect(model.state.texts.map(({ stale }) => stale)).toEqual([true, false, true, true]));
      await page.getByText('Run 3').click();
      await page.getByText('Rerun all').waitFor();
      expect(model.state.texts.map(({ cell }) => cell!.new_tokens)).toEqual([12, 12, 12, 12]);
      await page.getByRole('textbox', { name: 'Prompt' }).nth(1).fill('At noon');
      await page.keyboard.press('Control+Enter');
      await page.getByText('Run 2').waitFor();
      await page.getByRole('textbox', { name: 'Length' }).fill('no number');
      await page.keyboard.press('Tab');
      await until(async () => expect(await page.getByRole('textbox', { name: 'Length' }).inputValue()).toBe('12'));
    });

    it('ends writing when it is cancelled, and gives back what stood there', async () => {
      // More than is written before it is cancelled, however fast that goes.
      const many = Array.from({ length: 19 }, (_, i) => ({ id: String(i), text: `${models.prompts[0]} ${i}` }));
      const panel = await open({ ...start(), prompts: many });
      const { page, model } = panel;
      model.setSampling({ max_new_tokens: 8 });
      await model.run({ what: 'missing' });
      model.addPrompt('And then');
      const before = model.state.texts.map(({ text }) => text);
      model.setSampling({ max_new_tokens: 1_000_000 });
      await page.getByText('Run 40').click();
      const busy = page.locator('.text[aria-busy=true]').first();
      await busy.waitFor();
      // What a person writes meanwhile stays, though the page is drawn anew with each word of the model's.
      const field = page.getByRole('textbox', { name: 'New prompt' });
      await field.pressSequentially('Once');
      const written = model.state.texts.map(({ text }) => text).join();
      await until(() => expect(model.state.texts.map(({ text }) => text).join()).not.toBe(written));
      expect(await field.inputValue()).toBe('Once');
      await page.getByRole('button', { name: 'Cancel' }).click();
      await page.getByText(/^\s*Run \d+\s*$/).waitFor();
      const texts = model.state.texts;
      expect(texts.slice(-2).map(({ state, message }) => [state, message])).toEqual([
        ['failed', 'Cancelled.'],
        ['failed', 'Cancelled.'],
      ]);
      const old = texts.flatMap(({ text, stale }, i) => (stale ? [[text, before[i]]] : []));
      expect(old.length).toBeGreaterThan(0);
      for (const [text, was] of old) expect(text).toBe(was);
      expect(texts.slice(0, -2).map(({ state }) => state)).toEqual(before.map(() => 'done'));
    });

    it('keeps which of two texts is better, by keyboard and by button', async () => {
      const panel = await open(start());
      const { page, model, pairs } = panel;
      await model.run({ what: 'missing' });
      await cell(panel, 1, 1).getByText('Select').click();
      await cell(panel, 1, 0).getByText('Select').click();
      await page.getByText('Which is better?').waitFor();
      await panel.setTheme('light');
      await panel.picture('compare-better');
      await page.keyboard.press('ArrowRight');
      await page.getByText('1 pair kept').waitFor();
      const [, , base, tuned] = model.state.texts;
      expect(pairs[0]).toMatchObject({
        prompt: 'In the morning',
        chosen: tuned!.text,
        rejected: base!.text,
        chosen_weights: tuned!.cell!.weights,
        rejected_weights: base!.cell!.weights,
      });
      await cell(panel, 0, 0).getByText('Better').click();
      await page.getByText('2 pairs kept').waitFor();
      expect(pairs[1]).toMatchObject({ prompt: 'The captain said', chosen: model.state.texts[0]!.text });
    });

    it('takes prompts in and out, and models of other checkpoints', async () => {
      const panel = await open({ ...start(), prompts: [] });
      const { page, model } = panel;
      await page.getByRole('textbox', { name: 'New prompt' }).fill('<b>She</b> looked');
      await page.keyboard.press('Control+Enter');
      await page.getByText('Rerun all').waitFor();
      expect(await page.locator('tbody b').count()).toBe(0);
      expect(await page.getByRole('textbox', { name: 'New prompt' }).inputValue()).toBe('');
      await page.getByRole('button', { name: 'Add models to compare' }).click();
      await page.locator('thead').getByText('step 6').waitFor();
      await page.getByText('Run 2').waitFor();
      await page.getByRole('button', { name: /^Remove .*step 6$/ }).click();
      await page.getByText('Run 1').waitFor();
      await page.getByRole('button', { name: 'Remove this prompt' }).click();
      await until(async () => expect(await page.locator('tbody tr').count()).toBe(0));
      expect(model.state.texts).toEqual([]);
    });

    it('says at each text why it could not be written, and writes the others', async () => {
      const elsewhere = { ...columns()[1]!, id: 'away', host: 'ssh:away', hostLabel: 'away', label: 'away · step 9' };
      const gone = { ...columns()[1]!, id: 'gone', path: '/nowhere/model', label: 'gone' };
      const panel = await open({ ...start(), models: [columns()[0]!, elsewhere, gone] });
      await panel.page.getByText('Run 6').click();
      await panel.page.getByText('ssh:away cannot be reached.').first().waitFor();
      await panel.page
        .getByText(/nowhere\/model/)
        .first()
        .waitFor();
      await panel.picture('compare-failed');
      await until(() => expect(panel.model.state.running).toBeUndefined());
      // Those of one host share a job, which a model that is not there ends before it begins; alone it goes on.
      await cell(panel, 0, 0).getByText('Run').click();
      await until(() => expect(panel.model.state.texts[0]!.state).toBe('done'));
    });

    it('comes back with its texts when it was hidden or the window reloaded', async () => {
      const panel = await open(start());
      await panel.model.run({ what: 'missing' });
      await panel.page.getByText('Rerun all').waitFor();
      const { texts } = panel.model.state;
      await panel.reload();
      await panel.page.getByText('Rerun all').waitFor();
      const again = new CompareModel(reach({}), panel.kept() as CompareState);
      closing.push({ close: () => again.dispose() });
      expect(again.state.texts).toEqual(texts);
      expect(again.state.prompts).toEqual(panel.model.state.prompts);
    });

    it('can be read in every theme, and in a column of 300 pixels', async () => {
      const panel = await open(start());
      await panel.model.run({ what: 'missing' });
      await panel.page.getByText('Rerun all').waitFor();
      for (const theme of ['dark', 'light', 'high-contrast', 'high-contrast-light'] as const) {
        await panel.setTheme(theme);
        await panel.picture(`compare-${theme}`);
      }
      const narrow = await open(panel.model.state, { width: 300, height: 900 });
      await narrow.page.getByText('Rerun all').waitFor();
      expect(await narrow.page.evaluate('document.documentElement.scrollWidth')).toBe(300);
      await narrow.picture('compare-narrow');
      const none = await open({});
      await none.page.getByText('Choose models').waitFor();
      await none.picture('compare-none');
      expect([...panel.complaints, ...narrow.complaints, ...none.complaints]).toEqual([]);
    });
  },
);
