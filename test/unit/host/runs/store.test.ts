/** Runs as a window sees them, on real runners: after a lost connection, a reload, a week away. */
import { appendFile, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LocalHost } from '@host/hosts/local';
import type { RunnerClients } from '@host/runner/runnerClients';
import type { LiveRunner } from '@host/runner/serveProcess';
import type { FollowedRun, RunRef } from '@host/runs/runs';
import { RunStore } from '@host/runs/store';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { clientsFor, homeWithEngine } from '../../../support/host/machine';
import { buildRunner } from '../../../support/runner';
import { tinyProject } from '../../cli/support';

let dir: string;
let home: string;
const open: { dispose(): void }[] = [];

beforeAll(async () => {
  await buildRunner();
  dir = await mkdtemp(join(tmpdir(), 'tuneyard-runs-'));
  await tinyProject(dir);
  home = await homeWithEngine(dir);
});
afterEach(async () => {
  const clients = clientsFor([new LocalHost(home)], dir);
  const { peer } = await clients.open('local');
  for (const { id, state } of await peer.request('runs/list', {})) {
    if (state === 'running' || state === 'queued') await peer.request('runs/kill', { run: id });
  }
  clients.dispose();
  for (const each of open.splice(0).reverse()) each.dispose();
});
afterAll(() => rm(dir, { recursive: true, force: true }));

/** A window: clients of its own, and what it remembers in `storage`. */
async function window(storage: string): Promise<{ clients: RunnerClients; store: RunStore; said: string[] }> {
  const said: string[] = [];
  const clients = clientsFor([new LocalHost(home)], join(dir, 'cache'), (text) => said.push(text));
  const store = new RunStore({ runners: clients, storage, log: () => {} });
  open.push(clients, store);
  await store.load();
  return { clients, store, said };
}

const newStorage = () => mkdtemp(join(dir, 'storage-'));
const until = (check: () => unknown) => vi.waitFor(check, { timeout: 60_000, interval: 50 });

async function startRun({ clients }: { clients: RunnerClients }, more: Record<string, unknown> = {}): Promise<RunRef> {
  const { peer } = await clients.open('local');
  const recipe = {
    model: join(dir, 'model'),
    dataset: join(dir, 'data.jsonl'),
    device: 'cpu',
    max_length: 16,
    per_device_train_batch_size: 4,
    max_steps: 1_000_000,
    logging_steps: 20,
    eval_strategy: 'no',
    save_strategy: 'steps',
    save_steps: 100,
    save_total_limit: 2,
    ...more,
  };
  const { id } = await peer.request('runs/start', { recipe, name: 'mine' });
  return { host: 'local', run: id };
}

/** Rows that follow each other as they were written: no gap, no double. */
function expectWhole({ log }: FollowedRun, every: number): void {
  const steps = [...log.step.subarray(0, log.length)];
  expect(steps).toEqual(steps.map((_, i) => (i + 1) * every));
}

describe('a run that is followed', () => {
  it('is followed on by itself after the connection was lost, without a gap or a double', async () => {
    const here = await window(await newStorage());
    const ref = await startRun(here);
    const run = here.store.follow(ref);
    await until(() => expect(run.log.length).toBeGreaterThan(3));
    const closed = new Promise<void>((resolve) => here.clients.onDidClose(() => resolve()));
    process.kill((here.clients.current('local') as LiveRunner).hello.pid, 'SIGKILL');
    await closed;
    const seen = run.log.length;
    await until(() => expect(run.log.length).toBeGreaterThan(seen + 5));
    expectWhole(run, 20);
    run.dispose();
  });

  it('is caught up with after a reload and after half a copy, and was remembered meanwhile', async () => {
    const storage = await newStorage();
    const before = await window(storage);
    const ref = await startRun(before);
    const first = before.store.follow(ref);
    await until(() => expect(first.log.length).toBeGreaterThan(3));
    await until(() => expect(before.store.get(ref)?.state).toBe('running'));
    const seen = first.lastSeq;
    first.dispose();
    await before.store.settled();
    before.clients.dispose();

    const [copy] = await readdir(join(storage, 'events'));
    await appendFile(join(storage, 'events', copy!), '{"seq":9999,"ty');
    const after = await window(storage);
    expect(after.store.get(ref)).toMatchObject({ host: 'local', state: 'running' });
    expect(after.store.hostsAtWork()).toEqual(['local']);
    const again = after.store.follow(ref);
    await until(() => expect(again.lastSeq).toBe(seen));
    await after.clients.open('local');
    await until(() => expect(again.lastSeq).toBeGreaterThan(seen + 3));
    expectWhole(again, 20);
    await after.store.settled();
    const seqs = [...(await readFile(join(storage, 'events', copy!), 'utf8')).matchAll(/^\{"seq":(\d+),"time"/gm)];
    expect(seqs.map(([, seq]) => Number(seq))).toEqual(seqs.map((_, i) => i + 1));
    expect(seqs.length).toBeGreaterThan(seen);
    again.dispose();
  });

  it('loses what it did behind the checkpoint that it is resumed from', async () => {
    const here = await window(await newStorage());
    const every = 500;
    const ref = await startRun(here, { logging_steps: 10, save_steps: every });
    const run = here.store.follow(ref);
    let cut: number | undefined;
    run.onDidChange(({ rewritten }) => {
      cut = rewritten ?? cut;
    });
    await until(() => expect(run.checkpoints.length).toBeGreaterThan(0));
    // Not shortly before the next checkpoint, which would leave nothing behind it to be lost.
    await until(() => {
      const behind = run.log.step[run.log.length - 1]! - run.checkpoints.at(-1)!.step;
      expect(behind).toBeGreaterThan(10);
      expect(behind).toBeLessThan(every / 2);
    });
    const { peer } = here.clients.current('local')!;
    await peer.request('runs/kill', { run: ref.run });
    await until(() => expect(run.end?.status).toBe('stopped'));
    const last = run.checkpoints.at(-1)!.step;
    await peer.request('runs/resume', { run: ref.run });
    await until(() => expect(run.start?.step).toBe(last));
    await until(() => expect(run.log.step[run.log.length - 1]).toBeGreaterThan(last + 50));
    await until(() => expect(cut).toBe(last / 10));
    expectWhole(run, 10);
    expect([...run.log.seconds.subarray(0, run.log.length)]).toEqual(
      [...run.log.seconds.subarray(0, run.log.length)].sort((a, b) => a - b),
    );
    run.dispose();
  });
});

describe('a run in two windows', () => {
  it('is kept though nobody looks at it, tells its end once, and is forgotten in both when one deletes it', async () => {
    const storage = await newStorage();
    const [one, two] = [await window(storage), await window(storage)];
    const ref = await startRun(one, { max_steps: 40, save_strategy: 'no' });
    await two.clients.open('local');
    one.store.follow(ref).dispose();
    for (const { store } of [one, two]) await until(() => expect(store.get(ref)?.state).toBe('completed'));
    // The second window has had nothing to do with it.
    expect(await two.store.claimEnd(two.store.get(ref)!)).toBe(false);
    two.store.follow(ref).dispose();
    const claims = [one, two].map(({ store }) => store.claimEnd(store.get(ref)!));
    expect((await Promise.all(claims)).filter(Boolean)).toHaveLength(1);

    for (const { store } of [one, two]) await store.settled();
    const offline = await window(storage);
    const seen = offline.store.follow(ref);
    await until(() => expect(seen.end?.status).toBe('completed'));
    expectWhole(seen, 20);
    seen.dispose();

    await one.clients.current('local')!.peer.request('runs/delete', { run: ref.run });
    for (const { store } of [one, two]) await until(() => expect(store.get(ref)).toBeUndefined());
    for (const { store } of [one, two]) await store.settled();
    expect(await readdir(join(storage, 'events'))).toEqual([]);
  });

  it('is not lost from the list by the other, which knows another host', async () => {
    const storage = await newStorage();
    const [one, two] = [await window(storage), await window(storage)];
    await startRun(one, { max_steps: 20, save_strategy: 'no' });
    await until(() => expect(one.store.list('local')).not.toEqual([]));
    await one.store.settled();
    two.store.forgetHost('ssh:gpu');
    await two.store.settled();
    expect((await window(storage)).store.list('local').map(({ id }) => id)).toEqual(
      one.store.list('local').map(({ id }) => id),
    );
    one.store.forgetHost('local');
    await one.store.settled();
    expect((await window(storage)).store.list()).toEqual([]);
  });
});

it('a host that was disconnected by hand stays so, whatever runs there', async () => {
  const here = await window(await newStorage());
  const ref = await startRun(here);
  const run = here.store.follow(ref);
  await until(() => expect(run.log.length).toBeGreaterThan(0));
  await here.clients.close('local');
  await until(() => expect(here.said.join('\n')).toContain('Gave up connecting to local again'));
  expect(here.clients.current('local')).toBeUndefined();
  expect(here.store.get(ref)?.state).toBe('running');
  const seen = run.log.length;
  await here.clients.open('local');
  await until(() => expect(run.log.length).toBeGreaterThan(seen));
  expectWhole(run, 20);
});
