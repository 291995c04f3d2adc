/** Data that lies on a host: looked at over a real sshd without being copied, and trained on there. */
import { mkdir, mkdtemp, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { targetOfData, targetOfRecipe } from '@host/datasets/target';
import type { Host } from '@host/hosts/host';
import { DatasetModel, type DatasetPlace } from '@host/panels/datasetModel';
import { gatherDataFacts } from '@host/recipes/dataFacts';
import { HostLooker } from '@host/recipes/hostLooker';
import { startDataset } from '@host/runner/datasetProcess';
import { localizeRecipe, sendTokenizer } from '@host/runner/sync';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { clientsFor, putEngine } from '../support/host/machine';
import { buildRunner } from '../support/runner';
import { type ChaosProxy, startChaosProxy } from '../support/ssh/chaosProxy';
import { hostOf } from '../support/ssh/sshClient';
import { type Sshd, sshdMissing, startSshd } from '../support/ssh/sshd';
import { tinyProject } from '../unit/cli/support';

const ROWS = 60_000;
const MB = 1_000_000;
const until = (check: () => unknown) => vi.waitFor(check, { timeout: 60_000, interval: 100 });

describe.skipIf(sshdMissing)(`data on a host${sshdMissing ? ` (${sshdMissing})` : ''}`, () => {
  let sshd: Sshd;
  let proxy: ChaosProxy;
  let host: Host;
  let project: string;
  /** On the host. */
  let data: string;
  let bytes: number;
  let clients: ReturnType<typeof clientsFor>;
  let model: DatasetModel | undefined;

  beforeAll(async () => {
    await buildRunner();
    sshd = await startSshd();
    proxy = await startChaosProxy(sshd.port);
    await putEngine(sshd.home);
    project = await mkdtemp(join(sshd.dir, 'project-'));
    await tinyProject(project);
    await mkdir(join(sshd.home, 'data/.hidden'), { recursive: true });
    data = join(sshd.home, 'data/rows.jsonl');
    const row = (i: number) => JSON.stringify({ text: `row ${i} ${Math.sin(i)} ${'word '.repeat(20)}` });
    const text = Array.from({ length: ROWS }, (_, i) => row(i)).join('\n');
    bytes = text.length;
    await writeFile(data, text);
    host = hostOf(sshd.sshConfig('box', [`Port ${proxy.port}`, 'StrictHostKeyChecking no']), { dir: sshd.dir });
    clients = clientsFor([host], join(sshd.dir, 'cache'));
    await clients.open('ssh:box');
  });
  afterEach(() => {
    model?.dispose();
    model = undefined;
  });
  afterAll(async () => {
    clients?.dispose();
    host?.dispose();
    await proxy?.dispose();
    await sshd?.dispose();
  });

  const place: DatasetPlace = {
    async start(name) {
      const runner = await clients.open(`ssh:${name}`);
      return startDataset(runner.host, runner.installed);
    },
    modelOn: async (name, folder) => sendTokenizer(await clients.open(`ssh:${name}`), folder),
  };

  it('is found folder by folder, without what is hidden', async () => {
    const { peer } = await clients.open('ssh:box');
    const { path, entries } = await peer.request('files/list', { path: '~/data' });
    expect(path).toBe(join(sshd.home, 'data'));
    expect(entries).toEqual([{ name: 'rows.jsonl', kind: 'file', bytes }]);
    await expect(peer.request('files/list', { path: '/nowhere' })).rejects.toMatchObject({ code: 'file_not_found' });
  });

  it('is shown with the model’s tokens, and neither it nor the weights pass the wire', async () => {
    const before = { ...proxy.passed };
    const target = await targetOfData('box:~/data/rows.jsonl');
    target.settings.model = join(project, 'model');
    model = new DatasetModel(place, target);
    await model.open();
    expect(model.state).toMatchObject({ host: 'box', path: '~/data/rows.jsonl' });
    expect(model.state.problem).toBeUndefined();
    expect(model.state.opened?.tokenizer).toBeDefined();
    await until(() => expect(model!.state).toMatchObject({ rows: ROWS, indexed: 1 }));
    const [head] = await model.rows(ROWS - 5, 1);
    expect(head?.words).toContain(`row ${ROWS - 5} `);
    const sample = await model.sample({ row: ROWS - 5 });
    expect(sample!.tokens.length).toBeGreaterThan(10);
    await model.report();
    expect(model.state.report?.rows).toBe(ROWS);
    const passed = { up: proxy.passed.up - before.up, down: proxy.passed.down - before.down };
    expect(bytes).toBeGreaterThan(7 * MB);
    expect(passed.down).toBeLessThan(MB);
    expect(passed.up).toBeLessThan(MB);
    expect(await sentNames()).not.toContain('model.safetensors');
  });

  it('is mended into a new file beside it, on the host', async () => {
    model = new DatasetModel(place, await targetOfData('box:~/data/rows.jsonl'));
    await model.open();
    const to = '~/data/rows.kept.jsonl';
    const { rows, paths } = await model.fix({ kind: 'drop', rows: [0, 1] }, to);
    expect(rows).toBe(ROWS - 2);
    expect(paths).toEqual([join(sshd.home, 'data/rows.kept.jsonl')]);
  });

  it('gives a proposal its figures from the host', async () => {
    const runner = await clients.open('ssh:box');
    const small = join(sshd.home, 'data/small.jsonl');
    await writeFile(small, '{"question":"a b","answer":"c"}\n{"question":"d","answer":"e f g"}\n');
    const seen = { look: new HostLooker(runner), path: small, isHub: false };
    expect(await gatherDataFacts(seen, join(project, 'model'))).toMatchObject({ rows: 2, unit: 'tokens' });
  });

  it('is trained on where it lies, and nowhere else', async () => {
    const runner = await clients.open('ssh:box');
    const recipe = { model: './model', dataset: { path: 'box:~/data/rows.jsonl', sources: [{ path: 'box:/x.csv' }] } };
    const { recipe: there } = await localizeRecipe(runner, recipe, project);
    expect(there.dataset).toEqual({ path: data, sources: [{ path: '/x.csv' }] });
    const elsewhere = { ...recipe, dataset: 'other:/data/rows.jsonl' };
    await expect(localizeRecipe(runner, elsewhere, project)).rejects.toMatchObject({
      code: 'file_not_found',
      message: expect.stringContaining('other'),
    });
    const hub = { ...recipe, dataset: 'hf://datasets/a/b' };
    expect((await localizeRecipe(runner, hub, project)).recipe.dataset).toBe('hf://datasets/a/b');
  });

  it('is refused in one recipe with data of another machine', async () => {
    const recipe = join(project, 'mixed.tune.json');
    const dataset = { path: 'box:~/data/rows.jsonl', sources: [{ path: './train.jsonl' }] };
    await writeFile(recipe, JSON.stringify({ model: './model', dataset }));
    await expect(targetOfRecipe(recipe)).rejects.toMatchObject({ code: 'recipe_invalid' });
  });

  async function sentNames(): Promise<string[]> {
    const store = join(sshd.home, '.tuneyard');
    return (await readdir(store, { recursive: true })).map((path) => path.split('/').at(-1)!);
  }
});
