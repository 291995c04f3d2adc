/** One runner a host for all who need it, and what a run needs sent to it: on real runners, under a home of their own. */
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Host } from '@host/hosts/host';
import { LocalHost } from '@host/hosts/local';
import type { RunnerClients } from '@host/runner/runnerClients';
import { startServe } from '@host/runner/serveProcess';
import { localizeRecipe } from '@host/runner/sync';
import type { JobLine } from '@protocol/serve';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { clientsFor, homeWithEngine } from '../../support/host/machine';
import { buildRunner } from '../../support/runner';

const PROGRAM = fileURLToPath(new URL('../../../remote-runner/bin/tuneyard.mjs', import.meta.url));
let dir: string;
let home: string;
let clients: RunnerClients;
const started: RunnerClients[] = [];

beforeAll(async () => {
  await buildRunner();
  dir = await mkdtemp(join(tmpdir(), 'tuneyard-clients-'));
  home = await homeWithEngine(dir);
});
afterEach(() => {
  for (const each of started.splice(0)) each.dispose();
});
afterAll(() => rm(dir, { recursive: true, force: true }));

/** This machine under another name: what is sent to it is copied. */
const box = (): Host => Object.assign(new LocalHost(home), { id: 'box' });
const open = (signal?: AbortSignal) => clients.open('box', signal && { signal });
const start = (host = box()) => {
  clients = clientsFor([host], join(dir, 'cache'));
  started.push(clients);
};

describe('the runner of a host', () => {
  it('is one for all who open it at once, and hears of each stage', async () => {
    start();
    const stages: string[] = [];
    const opened: unknown[] = [];
    clients.onDidOpen((runner) => opened.push(runner));
    const both = await Promise.all([open(), clients.open('box', { onProgress: (stage) => stages.push(stage) })]);
    expect(both[0]).toBe(both[1]);
    expect(opened).toEqual([both[0]]);
    expect(stages[0]).toBe('Connecting');
    expect(stages.at(-1)).toBe('Starting');
    expect(clients.current('box')).toBe(both[0]);
  });

  it('still comes for the others when one cancels, and can be opened again when all have', async () => {
    start();
    const [one, two] = [new AbortController(), new AbortController()];
    const impatient = open(one.signal);
    const patient = open(two.signal);
    one.abort();
    await expect(impatient).rejects.toMatchObject({ code: 'cancelled' });
    expect((await patient).host.id).toBe('box');

    start();
    const given = open(two.signal);
    two.abort();
    const again = open();
    await expect(given).rejects.toMatchObject({ code: 'cancelled' });
    expect((await again).host.id).toBe('box');
  });

  it('comes back by itself when it is lost while somebody follows a run, and only then', async () => {
    const host = box();
    const connect = vi.spyOn(host, 'connect');
    start(host);
    const lost: string[] = [];
    clients.onDidClose(({ hostId }) => lost.push(hostId));
    const kill = async () => {
      const { hello } = (await open()) as unknown as { hello: { pid: number } };
      process.kill(hello.pid, 'SIGKILL');
      const before = lost.length;
      await vi.waitFor(() => expect(lost.length).toBe(before + 1), { timeout: 30_000 });
      return hello.pid;
    };
    const kept = clients.keepAlive('box');
    const pid = await kill();
    await vi.waitFor(() => expect(clients.current('box')).toBeDefined(), { timeout: 30_000 });
    expect((clients.current('box') as unknown as { hello: { pid: number } }).hello.pid).not.toBe(pid);

    kept.dispose();
    const tried = connect.mock.calls.length;
    await kill();
    // An attempt begins at once
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(connect.mock.calls.length).toBe(tried);
  });

  it('answers nobody for ever: what is asked when it is lost fails', async () => {
    start();
    const runner = await open();
    const { hello } = runner as unknown as { hello: { pid: number } };
    process.kill(hello.pid, 'SIGSTOP');
    const asked = runner.peer.request('host/status', {});
    process.kill(hello.pid, 'SIGKILL');
    await expect(asked).rejects.toMatchObject({ code: 'connection_lost' });
  });

  it('hands each job its own lines, and what a job failed with', async () => {
    start();
    const runner = await open();
    const lines: JobLine[][] = [[], []];
    await Promise.all(lines.map((each) => runner.job(['doctor'], { onLine: (line) => each.push(line) })));
    for (const each of lines) {
      expect(new Set(each.map(({ job }) => job)).size).toBe(1);
      expect(each.filter(({ data }) => data !== undefined).length).toBeGreaterThan(0);
    }
    await expect(runner.job(['preview', join(dir, 'none.jsonl')])).rejects.toMatchObject({ code: 'file_not_found' });
  });
});

describe('a runner that starts', () => {
  const program = async (text: string) => {
    const path = join(dir, `${Math.random()}.mjs`);
    await writeFile(path, text);
    return startServe(new LocalHost(home), { node: process.execPath, program: path }, { log: () => {} });
  };

  it('is understood behind whatever a login shell says first', async () => {
    const live = await program(`console.log('Welcome!\\nlast login: tuneyard-serve'); await import('${PROGRAM}');`);
    expect((await live.peer.request('host/status', {})).node).toBe(process.versions.node);
    live.dispose();
    await live.closed;
  });

  it('and cannot, says why', async () => {
    const failing = program(`console.error('libfoo.so.1 is missing'); process.exit(127);`);
    await expect(failing).rejects.toMatchObject({ code: 'remote_failed', message: expect.stringMatching(/libfoo/) });
  });

  it('and speaks another protocol is refused', async () => {
    const other = program(
      `console.log('tuneyard-serve {"version":"9","protocol":99,"pid":1}'); setInterval(() => {}, 1e3);`,
    );
    await expect(other).rejects.toMatchObject({ code: 'remote_failed', message: expect.stringMatching(/protocol/) });
  });
});

describe('what a recipe names', () => {
  const projects = async () => {
    const project = await mkdtemp(join(dir, 'project-'));
    await writeFile(join(project, 'data.jsonl'), '{"text":"one"}\n');
    return project;
  };

  it('is sent with what its links lead to, and is a recipe of the host then', async () => {
    start();
    const project = await projects();
    // As the hub's cache is: a folder of links
    await mkdir(join(project, 'model'));
    await writeFile(join(project, 'blob'), '{}');
    await symlink(join(project, 'blob'), join(project, 'model/config.json'));
    const written = { model: './model', dataset: { path: 'data.jsonl', test_path: 'data.jsonl' }, max_steps: 3 };
    const runner = await open();
    const { recipe, sent } = await localizeRecipe(runner, written, project);
    const { model, dataset } = recipe as { model: string; dataset: { path: string; test_path: string } };
    expect(sent).toEqual({ [model]: join(project, 'model'), [dataset.path]: join(project, 'data.jsonl') });
    expect(dataset.test_path).toBe(dataset.path);
    expect(await readFile(join(model, 'config.json'), 'utf8')).toBe('{}');
    expect(model.startsWith(join(home, '.tuneyard/data'))).toBe(true);
    expect(recipe.max_steps).toBe(3);
    expect(written.model).toBe('./model');
  });

  it('is whole there also where a broken attempt left something spoilt', async () => {
    start();
    const project = await projects();
    const data = join(project, 'data.jsonl');
    await writeFile(data, '{"text":"another"}\n');
    const runner = await open();
    const sha256 = (await import('node:crypto'))
      .createHash('sha256')
      .update(await readFile(data))
      .digest('hex');
    const file = { sha256, bytes: 19, name: 'data.jsonl' };
    const [plan] = await runner.peer.request('data/plan', { files: [file] });
    await writeFile(plan!.partial_path, 'rubbish');
    const { recipe } = await localizeRecipe(runner, { model: 'gpt2', dataset: 'data.jsonl' }, project);
    expect(await readFile(recipe.dataset as string, 'utf8')).toBe('{"text":"another"}\n');
    expect(await readdir(join(home, '.tuneyard/data/partial'))).toEqual([]);
    expect(recipe.model).toBe('gpt2');
  });

  it('stays where it is on this machine, and is missed by name', async () => {
    start(new LocalHost(home));
    const project = await projects();
    const runner = await clients.open('local');
    const { recipe, sent } = await localizeRecipe(runner, { model: 'gpt2', dataset: 'data.jsonl' }, project);
    expect(recipe.dataset).toBe(join(project, 'data.jsonl'));
    expect(sent).toEqual({});
    for (const missing of [
      { model: 'gpt2', dataset: 'none.jsonl' },
      { model: './none', dataset: 'data.jsonl' },
      { model: '~/no such model', dataset: 'data.jsonl' },
    ]) {
      await expect(localizeRecipe(runner, missing, project)).rejects.toMatchObject({ code: 'file_not_found' });
    }
  });
});
