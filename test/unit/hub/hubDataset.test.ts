import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { HubBytes } from '@runner/data/index/hubBytes';
import { fetchHubFile, findHubFiles, type HubDataOptions, openHubFile } from '@runner/hub/hubDataset';
import { afterEach, describe, expect, it } from 'vitest';
import { StandInHub } from './standInHub';
import { failure, temporaryFolders } from './support';

const folder = temporaryFolders();
const path = 'hf://datasets/someone/stories';
const token = 'hf_thisIsASecretThatMustNotLeak';
let hub: StandInHub;
afterEach(() => hub?.stop());

async function startHub(files: Record<string, string | Buffer>, converted?: Record<string, string>) {
  const map = (of: Record<string, string | Buffer>) =>
    new Map(Object.entries(of).map(([name, data]) => [name, Buffer.from(data as string)] as const));
  hub = new StandInHub('datasets/someone/stories', map(files));
  if (converted) hub.converted = map(converted);
  await hub.start();
}

const settings = async (
  env: Record<string, string> = {},
): Promise<HubDataOptions & { env: Record<string, string> }> => ({
  retryDelayMs: 1,
  env: { HF_ENDPOINT: hub.endpoint, TUNEYARD_CACHE: await folder(), ...env },
});

describe('a dataset on the hub', () => {
  const files = {
    'README.md': '# Stories',
    'data/train-00000-of-00002.jsonl': '{"text":"a"}\n',
    'data/train-00001-of-00002.jsonl': '{"text":"b"}\n',
    'data/test-00000-of-00001.jsonl': '{"text":"c"}\n',
    'tool.py': 'import os',
  };

  it('is found by its name, and its files arrive as they are, once', async () => {
    await startHub(files);
    const options = await settings();
    const found = await findHubFiles(path, {}, options);
    expect(found).toMatchObject({ config: 'default', split: 'train', splits: ['test', 'train'] });
    expect(found.files).toEqual([0, 1].map((i) => `${path}@${hub.commit}/data/train-0000${i}-of-00002.jsonl`));
    const local = await fetchHubFile(found.files[1]!, options);
    expect(await readFile(local, 'utf8')).toBe('{"text":"b"}\n');
    const before = hub.requests.length;
    expect(await fetchHubFile(found.files[1]!, options)).toBe(local);
    expect(hub.requests.length).toBe(before);
  });

  it('comes from the cache where the hub is out of reach, and says so', async () => {
    await startHub(files);
    const options = await settings();
    const [file] = (await findHubFiles(path, { split: 'test' }, options)).files;
    const local = await fetchHubFile(file!, options);
    await hub.stop();
    const warnings: string[] = [];
    const again = await findHubFiles(path, { split: 'test' }, { ...options, onWarning: (one) => warnings.push(one) });
    expect(await fetchHubFile(again.files[0]!, options)).toBe(local);
    expect(warnings).toEqual([expect.stringContaining('out of reach')]);
    const offline = { ...options, env: { ...options.env, HF_HUB_OFFLINE: '1' } };
    expect((await findHubFiles(path, { split: 'test' }, offline)).files).toEqual(again.files);
    const missing = await failure(fetchHubFile(`${path}@${hub.commit}/data/train-00000-of-00002.jsonl`, offline));
    expect(missing.what).toContain('HF_HUB_OFFLINE');
  });

  it('names what there is when something is asked for that is not', async () => {
    await startHub(files);
    const options = await settings();
    expect((await failure(findHubFiles(path, { split: 'dev' }, options))).what).toContain('it has test, train');
    expect((await failure(findHubFiles(path, { config: 'en' }, options))).what).toContain('"en"; it has default');
    expect((await failure(findHubFiles(`${path}/gone.csv`, {}, options))).what).toContain('tool.py');
    expect((await failure(findHubFiles('hf://datasets/nobody/none', {}, options))).what).toContain('404');
    expect((await failure(findHubFiles('hf://datasets/../x', {}, options))).what).toContain('hf://datasets/OWNER/NAME');
  });

  it('is taken as the hub converted it where nobody else can read it', async () => {
    await startHub({ 'stories.py': 'def f(): ...', 'README.md': '' }, { 'default/train/0000.parquet': 'PAR1' });
    const { files: found } = await findHubFiles(path, {}, await settings());
    expect(found).toEqual([`${path}@${hub.convertedCommit}/default/train/0000.parquet`]);
  });

  it('that nobody can read is refused with what it holds', async () => {
    await startHub({ 'images.zip': 'PK' });
    expect((await failure(findHubFiles(path, {}, await settings()))).what).toContain('images.zip');
  });

  it('is thrown away where it does not have the hub’s checksum', async () => {
    await startHub({ 'train.jsonl': 'x'.repeat(20_000) });
    const map = new Map([['train.jsonl', Buffer.from('x'.repeat(20_000))]]);
    await hub.stop();
    hub = new StandInHub('datasets/someone/stories', map, 'train.jsonl');
    await hub.start();
    const options = await settings();
    const { files: found } = await findHubFiles(path, {}, options);
    expect((await failure(fetchHubFile(found[0]!, options))).what).toContain('checksum');
  });

  it('cannot write outside of the cache, whatever a listing says', async () => {
    await startHub({ '../../evil.jsonl': 'x', '.tuneyard-listing.json': '[]', 'a.jsonl': '{}' });
    const options = await settings();
    expect((await findHubFiles(path, {}, options)).files).toEqual([`${path}@${hub.commit}/a.jsonl`]);
    expect((await failure(fetchHubFile(`${path}@${hub.commit}/../../evil.jsonl`, options))).code).toBe('hub_failed');
  });

  it('sees the token only at the hub, and no message repeats it', async () => {
    await startHub({ 'train.jsonl': 'x'.repeat(20_000) });
    const options = await settings({ HF_TOKEN: token });
    const { files: found } = await findHubFiles(path, {}, options);
    await fetchHubFile(found[0]!, options);
    for (const { origin, authorization } of hub.requests) {
      expect(authorization).toBe(origin === 'hub' ? `Bearer ${token}` : undefined);
    }
    hub.status = (asked) => (asked.includes('/revision/') ? 403 : undefined);
    const refused = await failure(findHubFiles(path, {}, options));
    expect(refused.what).toContain('dataset’s conditions');
    expect(JSON.stringify(refused)).not.toContain(token);
  });
});

describe('a file that is read on the hub', () => {
  const bytes = Buffer.from(Array.from({ length: 5_000_000 }, (_, i) => (i * 31) & 255));

  it('gives any part of it, and asks for a part once', async () => {
    await startHub({ 'a.parquet': bytes });
    const options = await settings();
    const [file] = (await findHubFiles(path, {}, options)).files;
    const source = new HubBytes(await openHubFile(file!, options));
    expect(source.size).toBe(bytes.length);
    for (const [from, length] of [
      [0, 10],
      [1_048_570, 12],
      [2_000_000, 2_500_000],
      [4_999_990, 100],
    ] as const) {
      expect(await source.read(from, length)).toEqual(bytes.subarray(from, from + length));
    }
    const fetched = hub.fetches('a.parquet').length;
    expect(await source.read(3_000_000, 50)).toEqual(bytes.subarray(3_000_000, 3_000_050));
    expect(hub.fetches('a.parquet').length).toBe(fetched);
    expect(hub.fetches('a.parquet').every(({ range }) => range !== undefined)).toBe(true);
  });

  it('is taken from the cache where it was fetched before', async () => {
    await startHub({ 'a.parquet': bytes });
    const options = await settings();
    const [file] = (await findHubFiles(path, {}, options)).files;
    const local = await fetchHubFile(file!, options);
    expect((await openHubFile(file!, options)).local).toBe(local);
  });

  it('says so where the server knows no ranges', async () => {
    await startHub({ 'a.parquet': bytes });
    hub.ignoreRanges = true;
    const options = await settings();
    const [file] = (await findHubFiles(path, {}, options)).files;
    const opened = await openHubFile(file!, options);
    const refused = await failure(opened.read(0, 10));
    expect(refused.data.ranges).toBe(false);
  });
});

it('a listing that was cut short by a crash is asked for again', async () => {
  await startHub({ 'train.jsonl': '{"text":"a"}' });
  const options = await settings();
  const dir = join(options.env.TUNEYARD_CACHE!, 'hub', 'datasets--someone--stories', 'snapshots', hub.commit);
  await mkdir(dir, { recursive: true });
  await writeFile(join(dir, '.tuneyard-listing.json'), '[{"type":"fi');
  expect((await findHubFiles(path, {}, options)).files).toHaveLength(1);
});
