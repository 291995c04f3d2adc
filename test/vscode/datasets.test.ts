/** Data of every kind and place, looked at and mended as a person does it. */
import { cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parquetWriteBuffer } from 'hyparquet-writer';
import { parse } from 'jsonc-parser';
import type { Frame } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Sshd, sshdMissing, startSshd } from '../support/ssh/sshd';
import { chapters } from '../support/vscode/chapters';
import { registry, registryMissing } from '../support/vscode/registry';
import { VsCode, vsCodeMissing } from '../support/vscode/vsCode';
import type { Window } from '../support/vscode/window';
import { StandInHub } from '../unit/hub/standInHub';

const MODEL = fileURLToPath(new URL('../../examples/default/model', import.meta.url));
const missing = vsCodeMissing ?? sshdMissing ?? (await registryMissing());

const ANSWERS = ['yes', 'no', 'perhaps', 'never', 'often'];
const question = (i: number) => `"Is ${i} a number, or is it ${ANSWERS[i % 5]}?",${ANSWERS[(i * 7) % 5]} ${i}`;
/** A line that is there twice, one that cannot be used, one with a secret. */
const CSV = [
  'question,answer',
  ...Array.from({ length: 20 }, (_, i) => question(i)),
  question(3),
  'What is the key?,AKIAIOSFODNN7EXAMPLQ is the key',
  '',
].join('\n');

describe.skipIf(missing)(`data in VS Code${missing ? ` (${missing})` : ''}`, () => {
  let sshd: Sshd;
  let hub: StandInHub;
  let code: VsCode;
  let window: Window;
  chapters(() => (window ? { code, window } : undefined));

  beforeAll(async () => {
    sshd = await startSshd();
    const sshConfigPath = join(sshd.dir, 'ssh_config');
    await writeFile(sshConfigPath, sshd.sshConfig('gpu-box'));
    await mkdir(join(sshd.home, 'corpus'));
    const rows = Array.from({ length: 5000 }, (_, i) => JSON.stringify({ text: `on the host, row ${i}` }));
    await writeFile(join(sshd.home, 'corpus/large.jsonl'), rows.join('\n'));
    const stories = Array.from({ length: 300 }, (_, i) => `on the hub, story ${i}`);
    hub = new StandInHub(
      'datasets/someone/stories',
      new Map([
        ['data/train-00000-of-00001.parquet', parquet(stories)],
        ['data/test-00000-of-00001.parquet', parquet(stories.slice(0, 20))],
      ]),
    );
    await hub.start();
    code = await VsCode.start({
      settings: {
        'tuneyard.sshConfigPath': sshConfigPath,
        'tuneyard.npmRegistry': registry,
        'tuneyard.hubEndpoint': hub.endpoint,
      },
      folders: [sshd.home],
    });
    await writeFile(join(code.workspace, 'quiz.csv'), CSV);
    await writeFile(join(code.workspace, 'table.parquet'), parquet(['in a table, first', 'in a table, second']));
    await cp(MODEL, join(code.workspace, 'model'), { recursive: true });
    window = await code.open();
    await window.showSidebar();
  });
  afterAll(async () => {
    await code?.close();
    await hub?.stop();
    await sshd?.dispose();
  });

  const panel = () => window.panelWith('.list, .whole');
  const whole = async (frame: Frame) => {
    await frame.getByRole('button', { name: 'Look at the whole set' }).click();
    await frame.getByRole('tab', { name: 'Whole set' }).click();
  };

  it('is offered as samples above its first line, and tells what is odd in it', async () => {
    await window.openFile('quiz.csv');
    await window.codeLens('Preview as training samples').click();
    const frame = await panel();
    await frame.getByText('22 rows').waitFor();
    await whole(frame);
    await frame.locator('details[data-kind=duplicate]').waitFor();
    await frame.locator('details[data-kind=secret] summary').click();
    await window.screenshots('findings');
    await frame.locator('details[data-kind=secret]').getByRole('link', { name: 'line 23' }).click();
    await frame.getByText(/^Line 23 ·|^Line 23$/).waitFor();
  });

  it('loses its duplicates as an edit that can be undone', async () => {
    const frame = await panel();
    await frame.getByRole('tab', { name: 'Whole set' }).click();
    await frame.locator('details[data-kind=duplicate] summary').click();
    await frame.locator('details[data-kind=duplicate]').getByText('Remove duplicates…').click();
    await window.pick('Edit the file');
    await frame.getByText('21 rows').waitFor();
    await window.editor.click();
    await window.pressUntil('Control+z', frame.getByText('22 rows'));
    await window.command('File: Save');
    expect(await readFile(join(code.workspace, 'quiz.csv'), 'utf8')).toBe(CSV);
  });

  it('is split and converted into new files, and stays as it is', async () => {
    const frame = await panel();
    await whole(frame);
    await frame.getByText('Convert…').click();
    await window.pick('template');
    await window.pick('.jsonl');
    const converted = join(code.workspace, 'quiz.jsonl');
    await window.typePath(converted);
    await window.notification('22 rows are in quiz.jsonl').waitFor();
    await window.closeNotifications();
    expect((await readFile(converted, 'utf8')).trim().split('\n')).toHaveLength(22);
    await frame.getByText('Split…').click();
    await window.type('0.25');
    await window.notification('quiz-train.csv, quiz-test.csv').waitFor();
    await window.closeNotifications();
    const parts = await Promise.all(
      ['train', 'test'].map((part) => readFile(join(code.workspace, `quiz-${part}.csv`), 'utf8')),
    );
    expect(parts.map((text) => text.trim().split('\n').length)).toEqual([17, 7]);
    expect(await readFile(join(code.workspace, 'quiz.csv'), 'utf8')).toBe(CSV);
    await window.command('View: Close All Editors');
  });

  it('in a Parquet file is found by the command', async () => {
    await window.command('Tuneyard: Preview Data');
    await window.pick('table.parquet');
    await (await panel()).getByText('in a table, second').first().waitFor();
    await window.command('View: Close All Editors');
  });

  it('on the hub is found by a word, shown without being fetched whole, and given a recipe', async () => {
    await window.command('Tuneyard: Preview Data');
    await window.pick('A dataset on the hub');
    await window.input.fill('stor');
    await window.choice('someone/stories').waitFor();
    await window.screenshots('hub-search');
    await window.pick('someone/stories');
    const frame = await panel();
    await frame.getByText('on the hub, story 0').first().waitFor();
    await frame.getByText('300 rows').waitFor();
    expect(hub.fetches('data/train-00000-of-00001.parquet').every(({ range }) => range !== undefined)).toBe(true);
    await frame.getByText('Write a recipe…').click();
    await window.question('New recipe').waitFor();
    await window.pick();
    await window.pick('This machine');
    await window.tab('stories.tune.json').waitFor();
    await window.codeLens('Preview data').waitFor();
    const recipe = parse(await readFile(join(code.workspace, 'stories.tune.json'), 'utf8'));
    expect(recipe).toMatchObject({ dataset: 'hf://datasets/someone/stories', model: './model' });
    await window.codeLens('Preview data').click();
    await (await panel()).locator('.token.learned').first().waitFor();
    await window.screenshots('hub-preview');
    await window.command('View: Close All Editors');
  });

  it('on a host is found folder by folder, and shown from there', async () => {
    await window.command('Tuneyard: Preview Data on a Host…');
    await window.pick('gpu-box');
    await window.choice('corpus').waitFor({ timeout: 180_000 });
    await window.pick('corpus');
    await window.choice('large.jsonl').waitFor();
    await window.screenshots('host-files');
    await window.pick('large.jsonl');
    const frame = await panel();
    await frame.getByText('on the host, row 0', { exact: true }).first().waitFor();
    await frame.getByText('5,000 rows').waitFor();
    await window.screenshots('host-preview');
  });
});

const parquet = (data: string[]) => Buffer.from(parquetWriteBuffer({ columnData: [{ name: 'text', data }] }));
