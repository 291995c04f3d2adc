import { LossModel } from '@host/panels/lossModel';
import type { LossHostContract, LossPageContract, LossState, PanelAction, PanelRun } from '@protocol/panels';
import type { Browser } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { ColumnRun, ColumnRuns, noHosts, trainedRun } from './support/columnRuns';
import { openBrowser, openPanel, type Panel, type PanelOptions, WITHOUT_CHROMIUM } from './support/panelPage';

const HOST = 'local';

describe.skipIf(WITHOUT_CHROMIUM)(`the loss panel${WITHOUT_CHROMIUM ? ` (skipped: ${WITHOUT_CHROMIUM})` : ''}`, () => {
  let browser: Browser;
  const closing: { close(): unknown }[] = [];

  beforeAll(async () => {
    browser = await openBrowser();
  });
  afterEach(async () => {
    for (const one of closing.splice(0).reverse()) await one.close();
  });
  afterAll(() => browser?.close());

  interface Opened extends Panel {
    model: LossModel;
    asked: { action: PanelAction; run?: PanelRun }[];
    saved: { csv?: string; png?: string };
  }

  async function open(
    runs: ColumnRun[],
    options: Omit<Partial<PanelOptions<LossHostContract, LossPageContract>>, 'state'> & {
      state?: Partial<LossState>;
    } = {},
  ): Promise<Opened> {
    const model = new LossModel(
      { runs: new ColumnRuns(...runs), hosts: noHosts },
      runs.map(({ ref }) => ref),
    );
    closing.push({ close: () => model.dispose() });
    const asked: Opened['asked'] = [];
    const saved: Opened['saved'] = {};
    const panel = await openPanel<LossHostContract, LossPageContract>(browser, {
      name: 'loss',
      ...options,
      serve(peer) {
        const drawn = model.onDidDraw((frame) => peer.notify('loss/frame', frame));
        peer.onClose(() => drawn.dispose());
        peer.handle('loss/view', (view) => model.draw(view));
        peer.handle('loss/removeRun', (run) => {
          model.remove(run);
          return null;
        });
        peer.handle('loss/act', (act) => {
          asked.push(act);
          return null;
        });
        peer.handle('loss/savePng', ({ base64 }) => {
          saved.png = base64;
          return null;
        });
      },
    });
    closing.push(panel);
    return { ...panel, model, asked, saved };
  }

  const run = (name: string, rows: number, options = {}) => trainedRun({ host: HOST, run: name }, rows, options);

  it('shots', async () => {
    const one = run('backstories-lora-20261123-0500', 400, { gpus: true });
    const dark = await open([one]);
    await dark.page.getByText('step 400/800', { exact: true }).waitFor();
    await dark.picture('loss-dark');
    await dark.setTheme('light');
    await dark.picture('loss-light');
    await dark.setTheme('high-contrast');
    await dark.picture('loss-high-contrast');
    await dark.setTheme('high-contrast-light');
    await dark.picture('loss-high-contrast-light');
    const narrow = await open([run('backstories-lora-20261123-0500', 400)], { width: 300, height: 800 });
    await narrow.page.getByText('step 400/800', { exact: true }).waitFor();
    await narrow.picture('loss-narrow');
    const many = await open([1, 2, 3, 4].map((seed) => run(`sweep-${seed}`, 300 + 40 * seed, { seed })));
    await many.page.getByText('sweep-4').first().waitFor();
    await many.picture('loss-many');
    const none = await open([]);
    await none.page.getByText('No run is shown').waitFor();
    await none.picture('loss-none');
    const empty = await open([new ColumnRun({ host: HOST, run: 'begun' }, 10)]);
    await empty.page.getByText('The run has begun').waitFor();
    await empty.picture('loss-begun');
    expect(dark.complaints).toEqual([]);
  });
});
