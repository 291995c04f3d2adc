import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { withSettings } from '@host/datasets/keepSettings';
import { targetOfData } from '@host/datasets/target';
import { LocalHost } from '@host/hosts/local';
import { DatasetModel } from '@host/panels/datasetModel';
import { startDataset } from '@host/runner/datasetProcess';
import type { DatasetFix } from '@protocol/dataset';
import type { DatasetHostContract, DatasetPageContract } from '@protocol/datasetPanel';
import type { Peer } from '@protocol/rpc';
import type { Browser } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { buildRunner } from '../../support/runner';
import { StandInHub } from '../hub/standInHub';
import { openBrowser, openPanel, type Panel, type PanelOptions, WITHOUT_CHROMIUM } from './support/panelPage';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const MODEL = join(ROOT, 'examples/default/model');
const PROGRAM = join(ROOT, 'remote-runner/bin/tuneyard.mjs');

describe.skipIf(WITHOUT_CHROMIUM)(
  `the dataset panel${WITHOUT_CHROMIUM ? ` (skipped: ${WITHOUT_CHROMIUM})` : ''}`,
  () => {
    let browser: Browser;
    let dir: string;
    const closing: { close(): unknown }[] = [];
    const until = (check: () => unknown) => vi.waitFor(check, { timeout: 30_000, interval: 50 });

    beforeAll(async () => {
      await buildRunner();
      browser = await openBrowser();
      dir = await mkdtemp(join(tmpdir(), 'tuneyard-dataset-'));
    });
    afterEach(async () => {
      for (const one of closing.splice(0).reverse()) await one.close();
    });
    afterAll(async () => {
      await browser?.close();
      await rm(dir, { recursive: true, force: true });
    });

    interface Opened extends Panel {
      model: DatasetModel;
      revealed: number[];
      fixes: DatasetFix[];
      /** What the extension would ask a person about. */
      asked: string[];
      show(row: number): void;
    }

    async function write(name: string, rows: readonly unknown[]): Promise<string> {
      const path = join(dir, name);
      await writeFile(path, rows.map((row) => (typeof row === 'string' ? row : JSON.stringify(row))).join('\n'));
      return path;
    }

    type Options = Partial<Omit<PanelOptions<DatasetHostContract, DatasetPageContract>, 'serve' | 'name'>>;

    /** As VS Code has it, with the runner's own process behind it. */
    async function open(path: string, options: Options & { env?: Record<string, string> } = {}): Promise<Opened> {
      const host = new LocalHost(dir);
      const model = new DatasetModel(
        {
          start: () =>
            startDataset(host, {
              node: process.execPath,
              program: PROGRAM,
              env: options.env ?? { HF_HUB_OFFLINE: '1' },
            }),
          modelOn: async (_, model) => model,
        },
        await targetOfData(path),
      );
      closing.push({ close: () => model.dispose() });
      const revealed: number[] = [];
      const fixes: DatasetFix[] = [];
      const asked: string[] = [];
      let peer: Peer<DatasetHostContract, DatasetPageContract>;
      const done = (work: unknown) => {
        void work;
        return null;
      };
      const panel = await openPanel<DatasetHostContract, DatasetPageContract>(browser, {
        name: 'dataset',
        width: 1000,
        height: 700,
        ...options,
        serve(served) {
          peer = served;
          const changed = model.onDidChange((state) => peer.notify('dataset/changed', state));
          peer.onClose(() => changed.dispose());
          peer.handle('dataset/state', () => model.state);
          peer.handle('dataset/rows', ({ from, count }) => model.rows(from, count));
          peer.handle('dataset/sample', (which) => model.sample(which));
          peer.handle('dataset/set', (part) => done(model.set(part)));
          peer.handle('dataset/pickModel', () => done(model.set({ model: MODEL })));
          peer.handle('dataset/reveal', ({ line }) => done(revealed.push(line)));
          peer.handle('dataset/report', () => done(model.report()));
          peer.handle('dataset/cancelReport', () => done(model.cancelReport()));
          peer.handle('dataset/fix', ({ fix }) => done(fixes.push(fix)));
          peer.handle('dataset/split', () => done(asked.push('split')));
          peer.handle('dataset/convert', () => done(asked.push('convert')));
          peer.handle('dataset/newRecipe', () => done(asked.push('recipe')));
          peer.handle('dataset/keep', () => null);
        },
      });
      closing.push(panel);
      await model.open();
      return { ...panel, model, revealed, fixes, asked, show: (row) => void peer.notify('dataset/show', { row }) };
    }

    const pairs = (count: number) =>
      Array.from({ length: count }, (_, i) => ({ text: `Question ${i}:`, target: ` Answer ${i}.` }));

    it('shows a row token by token: what is given, what is learned, what is special', async () => {
      const panel = await open(await write('pairs.jsonl', pairs(30)));
      const { page } = panel;
      await page.locator('.part').first().waitFor();
      // Without a model, words.
      await page.getByText('Choose a model…').click();
      await page.locator('.token.learned').first().waitFor();
      expect((await page.locator('.part').nth(0).locator('.token').allInnerTexts()).join('')).toBe('Question 0:');
      const written = page.locator('.part').nth(1).locator('.token');
      expect((await written.allInnerTexts()).join('')).toContain(' Answer 0.');
      expect(await page.locator('.part').nth(0).locator('.learned').count()).toBe(0);
      expect(await written.last().getAttribute('class')).toContain('special');
      expect(await written.first().getAttribute('title')).toMatch(/^\d+ · " An" · learned · token \d+$/);
      await panel.picture('dataset');
      expect(panel.complaints).toEqual([]);
    });

    it('follows the cursor, and shows the line of the row that is chosen', async () => {
      const panel = await open(await write('follow.jsonl', pairs(300)));
      const { page } = panel;
      await page.locator('#row-0').waitFor();
      panel.show(250);
      await page.getByText(/^Line 251/).waitFor();
      expect(await page.locator('#row-250').getAttribute('aria-selected')).toBe('true');
      expect(panel.revealed).toEqual([]);
      await page.locator('.list').focus();
      await page.keyboard.press('ArrowDown');
      await page.getByText(/^Line 252/).waitFor();
      await until(() => expect(panel.revealed).toEqual([252]));
      await page.keyboard.press('Home');
      await page.getByText(/^Line 1(\D|$)/).waitFor();
      await page.locator('#row-0').waitFor();
    });

    it('drops the rows that are selected, by key or button', async () => {
      const panel = await open(await write('select.jsonl', pairs(20)));
      const { page, fixes } = panel;
      await page.locator('#row-4').click();
      await page.getByText('Drop this row…').click();
      await page.locator('#row-8').click({ modifiers: ['Shift'] });
      await page.getByText('Drop 5 rows…').waitFor();
      expect(await page.locator('.row[aria-selected=true]').count()).toBe(5);
      await panel.picture('dataset-selected');
      await page.locator('.list').focus();
      await page.keyboard.press('Shift+ArrowUp');
      await page.getByText('Drop 4 rows…').waitFor();
      await page.keyboard.press('Delete');
      await until(() =>
        expect(fixes).toEqual([
          { kind: 'drop', rows: [4] },
          { kind: 'drop', rows: [4, 5, 6, 7] },
        ]),
      );
      await page.keyboard.press('ArrowDown');
      await page.getByText('Drop this row…').waitFor();
    });

    it('scrolls through a hundred thousand rows of which only those in view are there', async () => {
      const panel = await open(await write('many.jsonl', pairs(100_000)));
      const { page, model } = panel;
      await until(() => expect(model.state.rows).toBe(100_000));
      await page.locator('.list').focus();
      await page.keyboard.press('End');
      await page.getByText(/^Line 100000/).waitFor();
      await page.locator('#row-99999 .words').getByText('Question 99999').waitFor();
      expect(await page.locator('.row').count()).toBeLessThan(60);
    });

    it('sees at once what other settings do: the cut, another template, the prompt learned', async () => {
      const panel = await open(await write('live.jsonl', pairs(10)));
      const { page, model } = panel;
      await model.set({ model: MODEL });
      await page.locator('.token.learned').first().waitFor();
      await page.getByRole('textbox', { name: 'Longest' }).fill('5');
      await page.keyboard.press('Tab');
      await page.getByText('cut here').waitFor();
      expect(await page.locator('.token.cut').count()).toBeGreaterThan(0);
      await page.getByRole('textbox', { name: 'Longest' }).fill('512');
      await page.keyboard.press('Tab');
      await page.getByText('cut here').waitFor({ state: 'detached' });
      await page.getByText('Learn the prompt too').click();
      await until(async () =>
        expect(await page.locator('.part').nth(0).locator('.learned').count()).toBeGreaterThan(0),
      );
      await page.getByRole('textbox', { name: 'Template' }).fill('Q {text} A');
      await page.keyboard.press('Control+Enter');
      await until(async () => expect(await page.locator('.sample').innerText()).toContain('A'));
      expect(model.state.settings).toMatchObject({ format: 'template', template: 'Q {text} A', train_on_prompt: true });
    });

    it('shows what is being typed, unsaved', async () => {
      const path = await write('typed.jsonl', pairs(3));
      const panel = await open(path);
      const { page, model } = panel;
      await page.getByText('Question 0').first().waitFor();
      await model.setUnsaved(`${(await readFile(path, 'utf8')).replace('Question 0', 'Something else')}\n{"text": 5`);
      await page.getByText('Something else').first().waitFor();
      await page.getByText('with unsaved edits').waitFor();
      await page.locator('#row-3 .mark').getByText('!').waitFor();
      await model.setUnsaved(undefined);
      await page.getByText('Question 0').first().waitFor();
    });

    it('shows chats turn by turn, with what the assistant says as what is learned', async () => {
      const messages = [
        { role: 'user', content: 'Who wrote Moby-Dick?' },
        { role: 'assistant', content: 'Herman Melville.' },
      ];
      const panel = await open(await write('chat.jsonl', [{ messages }, { messages: [] }]));
      const { page, model } = panel;
      await model.set({ model: MODEL });
      await page.locator('.part').nth(1).waitFor();
      expect((await page.locator('.part h3').allInnerTexts()).map((text) => text.toLowerCase())).toEqual([
        'user',
        'assistant',
      ]);
      const learned = (await page.locator('.token.learned').allInnerTexts()).join('');
      expect(learned).toContain('Herman Melville.');
      expect(learned).not.toContain('Moby');
      await page.getByText('has no chat template').waitFor();
      await page.locator('#row-1 .mark').getByText('!').waitFor();
      await panel.picture('dataset-chat');
    });

    it('tells what is odd in the whole set, leads to the rows, and offers to mend it', async () => {
      const rows = [
        ...pairs(40),
        pairs(1)[0]!,
        { text: 'x', target: 5 },
        '{broken',
        { text: 'key', target: 'AKIAIOSFODNN7EXAMPLQ' },
      ];
      const panel = await open(await write('odd.jsonl', rows));
      const { page, fixes } = panel;
      await page.getByRole('button', { name: 'Look at the whole set' }).click();
      await page.getByRole('button', { name: /unusable$/ }).waitFor();
      await page.getByRole('button', { name: /unusable$/ }).click();
      const unusable = page.locator('details[data-kind=unusable]');
      await panel.picture('dataset-whole');
      await unusable.getByRole('button', { name: 'Drop these rows' }).click();
      await until(() => expect(fixes).toEqual([{ kind: 'drop', rows: [42] }]));
      const duplicates = page.locator('details[data-kind=duplicate]');
      await duplicates.locator('summary').click();
      await duplicates.getByRole('link', { name: /line/ }).first().click();
      await page.getByText(/^Line (1|41)(\D|$)/).waitFor();
      expect(panel.complaints).toEqual([]);
    });

    it('offers the configurations and splits of a dataset on the hub, and a recipe for what is shown', async () => {
      const card = ['plain', 'long'].map((name) => `- config_name: ${name}\n  data_dir: ${name}`).join('\n');
      const row = (text: string) => Buffer.from(JSON.stringify({ text }));
      const hub = new StandInHub(
        'datasets/someone/stories',
        new Map([
          ['README.md', Buffer.from(`---\nconfigs:\n${card}\n---\n`)],
          ['plain/train.jsonl', row('plain to train on')],
          ['plain/test.jsonl', row('plain to test on')],
          ['long/train.jsonl', row('long to train on')],
        ]),
      );
      await hub.start();
      closing.push({ close: () => hub.stop() });
      const env = { HF_ENDPOINT: hub.endpoint, TUNEYARD_CACHE: await mkdtemp(join(dir, 'cache-')) };
      const panel = await open('hf://datasets/someone/stories', { env });
      const { page, model } = panel;
      // None of them is the default.
      expect(model.state.problem).toMatch(/dataset\.config \(plain, long\)/);
      await page.getByRole('combobox', { name: 'Configuration' }).click();
      await page.locator('vscode-option').getByText('plain', { exact: true }).click();
      await page.getByText('plain to train on').first().waitFor();
      await page.getByRole('combobox', { name: 'Split' }).click();
      await page.locator('vscode-option').getByText('test', { exact: true }).click();
      await page.getByText('plain to test on').first().waitFor();
      await panel.picture('dataset-hub');
      await page.getByRole('combobox', { name: 'Configuration' }).click();
      await page.locator('vscode-option').getByText('long', { exact: true }).click();
      await page.getByText('long to train on').first().waitFor();
      expect(model.state.settings).toMatchObject({ config: 'long' });
      expect(model.state.settings.split).toBeUndefined();
      await page.getByText('Write a recipe…').click();
      await page.getByRole('button', { name: 'Look at the whole set' }).click();
      await page.getByRole('tab', { name: 'Whole set' }).click();
      await page.getByText('Split…').click();
      await page.getByText('Convert…').click();
      await until(() => expect(panel.asked).toEqual(['recipe', 'split', 'convert']));
      await panel.picture('dataset-hub-whole');
      expect(panel.complaints).toEqual([]);
    });

    it.each([
      ['alpaca', { instruction: 'Add.', input: '1 and 2', output: '3' }, ['1 and 2', '3']],
      [
        'sharegpt',
        {
          conversations: [
            { from: 'human', value: 'Hi?' },
            { from: 'gpt', value: 'Hello.' },
          ],
        },
        ['Hi?', 'Hello.'],
      ],
      ['prompt-completion', { prompt: 'One, two,', completion: ' three' }, ['One, two,', ' three']],
      [
        'preference',
        { prompt: 'Best?', chosen: ' This.', rejected: ' That.' },
        ['Best?', ' This.', ' That.', 'Found worse'],
      ],
      ['classification', { text: 'Lovely.', label: 'good' }, ['Lovely.', 'label good']],
      ['token-classification', { tokens: ['Ada', 'ran'], tags: ['PER', 'O'] }, ['Ada', 'PER']],
    ])('shows rows of the format %s as what they are', async (format, row, texts) => {
      const panel = await open(await write(`${format}.jsonl`, [row, row]));
      await panel.model.set({ model: MODEL });
      await until(() => expect(panel.model.state.opened?.format).toBe(format));
      await until(async () => {
        const shown = (await panel.page.locator('.sample').innerText()).replaceAll('\u200b', '');
        for (const text of texts) expect(shown.toLowerCase()).toContain(text.toLowerCase().trim());
      });
      await panel.picture(`dataset-${format}`);
      expect(panel.complaints).toEqual([]);
    });

    it('shows text of the data as text, whatever it holds', async () => {
      const text = '<img src=x onerror="alert(1)"><script>alert(2)</script> \u202eשלום 👩‍👩‍👧 ﷽';
      const panel = await open(await write('markup.jsonl', [{ text }]));
      await panel.model.set({ model: MODEL });
      await panel.page.locator('.token').first().waitFor();
      expect(await panel.page.locator('img, .sample script').count()).toBe(0);
      expect(panel.complaints).toEqual([]);
    });

    it('says what is wrong with a file that cannot be read, and comes back', async () => {
      const panel = await open(join(dir, 'gone.jsonl'));
      await panel.page.getByRole('alert').waitFor();
      expect(await panel.page.getByRole('alert').innerText()).toMatch(/gone\.jsonl/);
      await panel.reload();
      await panel.page.getByRole('alert').waitFor();
    });

    it('can be read in every theme, and in a column of 320 pixels', async () => {
      const path = await write('themes.jsonl', pairs(20));
      for (const theme of ['light', 'high-contrast'] as const) {
        const panel = await open(path, { theme, width: 320, height: 600 });
        await panel.model.set({ model: MODEL });
        await panel.page.locator('.token.learned').first().waitFor();
        await panel.picture(`dataset-${theme}-narrow`);
        const wide = await panel.page.locator('html').evaluate(({ scrollWidth }) => scrollWidth);
        expect(wide).toBeLessThanOrEqual(320);
      }
    });

    it('writes what was tried into the recipe, and leaves its comments', async () => {
      const before = { max_length: 512, train_on_prompt: false };
      const text = '{\n  // mine\n  "model": "m",\n  "dataset": "d.jsonl",\n  "max_length": 512\n}\n';
      const after = withSettings(text, before, { ...before, max_length: 64, template: '{a}', train_on_prompt: true });
      expect(after).toContain('// mine');
      expect(JSON.parse(after.replace('// mine', ''))).toEqual({
        model: 'm',
        dataset: { path: 'd.jsonl', template: '{a}', train_on_prompt: true },
        max_length: 64,
      });
      expect(withSettings(text, before, before)).toBe(text);
    });
  },
);
