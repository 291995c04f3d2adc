import { LossModel } from '@host/panels/lossModel';
import type { LossHostContract, LossPageContract, LossState, LossView, PanelAction, PanelRun } from '@protocol/panels';
import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { ColumnRun, ColumnRuns, mulberry, noHosts, pushTrained, trainedRun } from './support/columnRuns';
import { openBrowser, openPanel, type Panel, type PanelOptions, WITHOUT_CHROMIUM } from './support/panelPage';
import { THEMES } from './support/themes';

describe.skipIf(WITHOUT_CHROMIUM)(`the loss panel${WITHOUT_CHROMIUM ? ` (skipped: ${WITHOUT_CHROMIUM})` : ''}`, () => {
  let browser: Browser;
  const closing: { close(): unknown }[] = [];
  const until = (check: () => unknown) => vi.waitFor(check, { timeout: 30_000, interval: 50 });

  beforeAll(async () => {
    browser = await openBrowser();
  });
  afterEach(async () => {
    for (const one of closing.splice(0).reverse()) await one.close();
  });
  afterAll(() => browser?.close());

  interface Opened extends Panel {
    model: LossModel;
    views: LossView[];
    asked: { action: PanelAction; run?: PanelRun }[];
    saved: string[];
  }

  type Options = Omit<Partial<PanelOptions<LossHostContract, LossPageContract>>, 'state'> & {
    state?: Partial<LossState>;
  };

  async function open(runs: ColumnRun[], options: Options = {}): Promise<Opened> {
    const model = new LossModel(
      { runs: new ColumnRuns(...runs), hosts: noHosts },
      runs.map(({ ref }) => ref),
    );
    closing.push({ close: () => model.dispose() });
    const [views, asked, saved]: [LossView[], Opened['asked'], string[]] = [[], [], []];
    const panel = await openPanel<LossHostContract, LossPageContract>(browser, {
      name: 'loss',
      ...options,
      serve(peer) {
        const drawn = model.onDidDraw((frame) => peer.notify('loss/frame', frame));
        peer.onClose(() => drawn.dispose());
        peer.handle('loss/view', (view) => {
          views.push(view);
          return model.draw(view);
        });
        peer.handle('loss/removeRun', (run) => {
          model.remove(run);
          return null;
        });
        peer.handle('loss/act', (act) => {
          asked.push(act);
          return null;
        });
        peer.handle('loss/savePng', ({ base64 }) => {
          saved.push(base64);
          return null;
        });
      },
    });
    closing.push(panel);
    return { ...panel, model, views, asked, saved };
  }

  const run = (name: string, rows = 400, options = {}) => trainedRun({ host: 'local', run: name }, rows, options);
  const figures = (page: Page, text: string | RegExp) => page.locator('.figures').getByText(text).first();
  const chart = (page: Page, name: RegExp) => page.getByRole('img', { name });

  /** Whether a chart holds a pixel of this colour. */
  const painted = (page: Page, name: string, color: string) =>
    page.evaluate<boolean>(`(() => {
      const chart = document.querySelector('canvas[data-chart="${name}"]');
      const { width, height } = chart;
      const copy = Object.assign(document.createElement('canvas'), { width, height }).getContext('2d', { willReadFrequently: true });
      copy.drawImage(chart, 0, 0);
      const { data } = copy.getImageData(0, 0, width, height);
      const [r, g, b] = '${color}'.match(/[0-9a-f]{2}/g).map((part) => parseInt(part, 16));
      for (let i = 0; i < data.length; i += 4)
        if (data[i] === r && data[i + 1] === g && data[i + 2] === b && data[i + 3] === 255) return true;
      return false;
    })()`);

  it('shows how a run goes in every theme of the editor, in its colours', async () => {
    const panel = await open([run('backstories-lora', 400, { gpus: true })]);
    const { page } = panel;
    await figures(page, 'step 400/800').waitFor();
    expect(await page.locator('.figures').innerText()).toMatch(
      /epoch .* · loss .* · eval 1\.64 · 1\.25 it\/s · 5 min 20 s left/,
    );
    for (const theme of ['dark', 'light', 'high-contrast', 'high-contrast-light'] as const) {
      await panel.setTheme(theme);
      await until(async () => expect(await painted(page, 'loss', THEMES[theme]['charts-blue']!)).toBe(true));
      for (const name of ['learning_rate', 'grad_norm', 'tokens_per_second', 'memory']) {
        expect(await painted(page, name, THEMES[theme]['charts-blue']!), `${name} in ${theme}`).toBe(true);
      }
      await panel.picture(`loss-${theme}`);
    }
    expect(panel.complaints).toEqual([]);
  });

  it('follows a run that goes on, without being asked', async () => {
    const going = run('going', 100, { capacity: 1000 });
    const { page, views } = await open([going]);
    await figures(page, 'step 100/200').waitFor();
    const asked = views.length;
    for (let i = 0; i < 20; i++) pushTrained(going, going.log.length, 400, mulberry(i));
    going.changed();
    await figures(page, 'step 120/200').waitFor();
    going.end = {
      type: 'end',
      seq: 999,
      time: '',
      status: 'failed',
      step: 120,
      runtime: 9,
      message: 'out of memory at step 120',
    };
    going.summary = { ...going.summary!, state: 'failed' };
    going.changed();
    await page.getByText('✗ failed', { exact: true }).waitFor();
    await page.getByText('out of memory at step 120').waitFor();
    expect(views.length).toBe(asked);
  });

  it('asks for detail of the range that is zoomed to, by mouse and by keyboard, and goes back', async () => {
    const { page, views } = await open([run('long', 20_000)]);
    await figures(page, /step 20.000/).waitFor();
    const box = (await chart(page, /^Loss/).boundingBox())!;
    const y = box.y + box.height / 2;
    await page.mouse.move(box.x + box.width * 0.5, y);
    await page.mouse.down();
    await page.mouse.move(box.x + box.width * 0.6, y, { steps: 4 });
    await page.mouse.up();
    await until(() => expect(views.at(-1)!.from).toBeGreaterThan(5000));
    const { from, to } = views.at(-1)!;
    expect(to! - from!).toBeLessThan(4000);
    await chart(page, /^Gradient norm/).press('ArrowRight');
    await until(() => expect(views.at(-1)!.from).toBeCloseTo(from! + (to! - from!) / 10, 0));
    await chart(page, /^Loss/).press('ArrowUp');
    await until(() => expect(views.at(-1)!.to! - views.at(-1)!.from!).toBeLessThan((to! - from!) * 0.9));
    await page.getByRole('button', { name: 'Reset zoom' }).click();
    await until(() => expect(views.at(-1)!.from).toBeUndefined());
    await chart(page, /^Loss/).press('+');
    await until(() => expect(views.at(-1)!.from).toBeGreaterThan(0));
    await chart(page, /^Loss/).dblclick();
    await until(() => expect(views.at(-1)!.from).toBeUndefined());
  });

  it('keeps what was chosen when it is hidden, moved or reloaded', async () => {
    const panel = await open([run('a'), run('b')]);
    const { page, views } = panel;
    await page.getByText('b', { exact: true }).waitFor();
    await page.getByRole('combobox').click();
    await page.getByRole('option', { name: 'time' }).click();
    await until(() => expect(views.at(-1)!.x).toBe('time'));
    await page.getByRole('checkbox', { name: 'Log' }).click();
    await page.getByRole('slider', { name: 'Smooth' }).fill('80');
    await until(() => expect(views.at(-1)!.smoothing).toBe(40));
    await page.getByRole('switch', { name: 'a', exact: true }).click();
    await chart(page, /^Loss/).press('ArrowUp');
    await until(() => expect(views.at(-1)!.from).toBeGreaterThan(0));
    const before = views.at(-1)!;
    await panel.reload();
    await until(async () =>
      expect(await page.getByRole('switch', { name: 'a', exact: true }).getAttribute('aria-checked')).toBe('false'),
    );
    expect(views.at(-1)).toEqual({ ...before, id: expect.any(Number) });
    expect(await page.getByRole('checkbox', { name: 'Log' }).getAttribute('aria-checked')).toBe('true');
    expect(panel.kept()).toMatchObject({
      runs: [
        { host: 'local', run: 'a' },
        { host: 'local', run: 'b' },
      ],
      x: 'time',
      hidden: ['local/a'],
    });
  });

  it('lays several runs over one another, each told apart by name, colour and dashes', async () => {
    const panel = await open([1, 2, 3, 4].map((seed) => run(`sweep-${seed}`, 300 + 40 * seed, { seed })));
    const { page } = panel;
    await page.getByText('sweep-4', { exact: true }).waitFor();
    await panel.picture('loss-many');
    const looks = await page
      .locator('.swatch line')
      .evaluateAll((lines) =>
        lines.map((line) => `${line.getAttribute('stroke')} ${line.getAttribute('stroke-dasharray')}`),
      );
    expect(new Set(looks).size).toBe(4);
    const orange = THEMES.dark['charts-orange']!;
    expect(await painted(page, 'loss', orange)).toBe(true);
    await page.getByRole('switch', { name: 'sweep-2', exact: true }).click();
    await until(async () => expect(await painted(page, 'loss', orange)).toBe(false));
    await page.getByRole('button', { name: 'Remove sweep-2 from the charts' }).click();
    await until(() => expect(panel.model.runs.map(({ run }) => run)).toEqual(['sweep-1', 'sweep-3', 'sweep-4']));
    await until(async () => expect(await page.locator('.run').count()).toBe(3));
    expect(panel.complaints).toEqual([]);
  });

  it('says what to do where there is nothing to draw yet', async () => {
    const none = await open([]);
    await none.page.getByText('No run is shown').waitFor();
    await none.picture('loss-none');
    await none.page.getByRole('button', { name: 'Start a fine-tune' }).click();
    await until(() => expect(none.asked).toEqual([{ action: 'start' }]));
    const begun = new ColumnRun({ host: 'local', run: 'begun' }, 10);
    const waiting = new ColumnRun({ host: 'local', run: 'waiting' }, 10);
    waiting.summary = { ...waiting.summary!, state: 'queued' };
    const unread = new ColumnRun({ host: 'local', run: 'unread' }, 10);
    unread.summary = { ...unread.summary!, state: 'completed', step: 40 };
    await (await open([unread])).page.getByText('Reading what the run wrote').waitFor();
    const panels = [await open([begun]), await open([waiting])];
    await panels[0]!.page.getByText('The first values come after its first steps').waitFor();
    await panels[0]!.picture('loss-begun');
    await panels[1]!.page.getByText('It begins by itself').waitFor();
    await panels[1]!.page.getByRole('button', { name: 'Stop' }).click();
    await until(() => expect(panels[1]!.asked).toEqual([{ action: 'stop', run: waiting.ref }]));
  });

  it('tells hovered values, checkpoints and warnings, also to who uses the keyboard and hears them', async () => {
    const { page, picture } = await open([run('a')], { reducedMotion: true });
    await figures(page, 'step 400/800').waitFor();
    await chart(page, /^Loss\. a: 400 values/).focus();
    await page.keyboard.press('Shift+ArrowRight');
    const live = page.locator('#live');
    await until(async () => expect(await live.textContent()).toMatch(/^step \d.*smoothed: \d.*train: \d/));
    for (let i = 0; i < 19; i++) await page.keyboard.press('Shift+ArrowRight');
    await until(async () => expect(await live.textContent()).toMatch(/Checkpoint at step 80/));
    expect(await live.textContent()).toMatch(/evaluation/);
    await picture('loss-read');
    await page.keyboard.press('Escape');
    expect(await page.locator('canvas').count()).toBe(
      await page.locator('canvas[role=img][tabindex="0"][aria-label]').count(),
    );
  });

  it('shows how many steps of an fp16 run were skipped, and why', async () => {
    const half = run('half');
    half.skippedSteps = 3;
    const { page } = await open([half]);
    const skipped = figures(page, '3 steps skipped');
    await skipped.waitFor();
    expect(await skipped.getAttribute('title')).toContain('float16 cannot hold');
  });

  it('shows the ranks of a run, where each is, and the one that the others wait for', async () => {
    const shared = run('shared');
    const places = ['gpu-1', 'gpu-1', 'gpu-2', 'gpu-2'].map((host, i) => ({ host, device: `CUDA:${i % 2}` }));
    shared.start = { ...shared.start!, ranks: places };
    shared.rankSeconds = [1, 1.02, 1.61, 0.99];
    const { page, picture } = await open([shared]);
    const ranks = figures(page, '4 ranks');
    await ranks.waitFor();
    expect(await ranks.getAttribute('title')).toContain('rank 2: gpu-2, CUDA:0, 1.61 s a step');
    await figures(page, 'all wait for rank 2: 1.6 times as slow').waitFor();
    await picture('loss-ranks');
    shared.rankSeconds = [1, 1.02, 1.1, 0.99];
    shared.changed();
    await until(async () => expect(await page.getByText('all wait for').count()).toBe(0));
  });

  it('fits a column of 300 pixels', async () => {
    const panel = await open([run('backstories-lora-with-a-long-name', 400), run('b')], { width: 300, height: 900 });
    await panel.page.getByText('b', { exact: true }).waitFor();
    expect(await panel.page.evaluate('document.documentElement.scrollWidth')).toBe(300);
    await panel.picture('loss-narrow');
  });

  it('saves all charts as one picture', async () => {
    const { page, saved } = await open([run('a')]);
    await figures(page, 'step 400/800').waitFor();
    await page.getByRole('button', { name: 'Save the charts as a picture' }).click();
    await until(() => expect(saved).toHaveLength(1));
    const png = Buffer.from(saved[0]!, 'base64');
    expect(png.subarray(1, 4).toString()).toBe('PNG');
    expect(png.readUInt32BE(16)).toBeGreaterThan(1500);
    expect(png.length).toBeGreaterThan(20_000);
  });

  it('shows names and messages as text, whatever is in them', async () => {
    const evil = '<img src=x onerror="document.title=\'run\'">';
    const bad = run(evil);
    bad.summary = { ...bad.summary!, state: 'failed', message: `</script>${evil}` };
    const { page, complaints } = await open([bad, run('b')], { state: { hidden: [`</script>${evil}`] } });
    await page.getByText(evil, { exact: true }).first().waitFor();
    await page.getByText(`</script>${evil}`).waitFor();
    expect(await page.locator('main img:not([role])').count()).toBe(0);
    expect(await page.title()).toBe('Panel');
    expect(complaints).toEqual([]);
  });
});
