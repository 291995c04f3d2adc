import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { compareMarkdown } from '@host/panels/compareExport';
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
      await vi.waitFor(
        async () => expect(await peer.request('runs/get', { run })).toMatchObject({ state: 'completed' }),
        { timeout: 120_000, interval: 200 },
      );
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
      kept_: Preference[];
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
      return { ...panel, model, kept_: pairs };
    }

    const columns = () => [models.base!, tunedModel(models)!];
    const prompts = () => models.prompts.map((text, i) => ({ id: String(i), text }));
    const start = (): Partial<CompareState> => ({
      models: columns(),
      prompts: prompts(),
      sampling: { ...models.sampling } as CompareState['sampling'],
    });

    it('shots', async () => {
      const panel = await open(start());
      await panel.picture('compare-unwritten');
      await panel.model.run({ what: 'missing' });
      await panel.picture('compare-dark');
      console.log(JSON.stringify(panel.model.state.texts).slice(0, 1500), panel.complaints);
      await panel.page.getByText('Rerun all').waitFor({ timeout: 3000 });
      await panel.picture('compare-dark');
      await panel.page
        .getByRole('button', { name: /^Select/ })
        .nth(0)
        .click();
      await panel.page
        .getByRole('button', { name: /^Select/ })
        .nth(1)
        .click();
      await panel.setTheme('light');
      await panel.picture('compare-light');
      await panel.setTheme('high-contrast');
      await panel.picture('compare-high-contrast');
      const narrow = await open(panel.model.state, { width: 300, height: 900 });
      await narrow.picture('compare-narrow');
      const none = await open({});
      await none.picture('compare-none');
      console.log(compareMarkdown(panel.model.state));
      expect(panel.complaints).toEqual([]);
    });
  },
);
