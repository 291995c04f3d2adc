/** `tuneyard vm …` as a person types it: the shipped program, the stand-in for Google, real ssh and scp. */
import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { MachineOffer, Reconciliation, VmDeletion, VmView } from '@protocol/cloud';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildRunner } from '../support/runner';
import { sshdMissing } from '../support/ssh/sshd';
import { registry, registryMissing } from '../support/vscode/registry';
import { GoogleStandIn } from './standIn/googleStandIn';

const PROGRAM = fileURLToPath(new URL('../../remote-runner/bin/tuneyard.mjs', import.meta.url));
const EXAMPLE = fileURLToPath(new URL('../../examples/default', import.meta.url));
const SMALL = { device: 'cpu', max_steps: 2, max_length: 224, per_device_train_batch_size: 2, eval_strategy: 'no' };
const missing = sshdMissing ?? (await registryMissing());

describe.skipIf(missing)(`VMs from the command line${missing ? ` (${missing})` : ''}`, () => {
  let google: GoogleStandIn;
  let home: string;
  let credentials: string;

  beforeAll(async () => {
    await buildRunner();
    google = await GoogleStandIn.start({ operationMs: 100, bootMs: 100, driverMs: 200 });
    credentials = await google.credentialsFile('service_account');
    home = await mkdtemp(join(tmpdir(), 'tuneyard-cli-'));
  });
  afterAll(async () => {
    await google?.close();
    await rm(home, { recursive: true, force: true });
  });

  const vm = (...words: string[]) => {
    const env = {
      ...process.env,
      TUNEYARD_HOME: home,
      TUNEYARD_GCE_ENDPOINT: google.endpoint,
      TUNEYARD_GCE_USER: userInfo().username,
      TUNEYARD_GCE_SSH_PORT: String(google.sshPort),
      TUNEYARD_NPM_REGISTRY: registry,
      GOOGLE_APPLICATION_CREDENTIALS: credentials,
      NO_COLOR: '1',
    };
    return new Promise<{ status: number; stdout: string; stderr: string }>((resolve) => {
      execFile(process.execPath, [PROGRAM, 'vm', ...words], { env }, (error, stdout, stderr) => {
        resolve({ status: error ? Number(error.code ?? 1) : 0, stdout, stderr });
      });
    });
  };
  const json = async <T>(...words: string[]) => {
    const { status, stdout, stderr } = await vm(...words, '--json');
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    return stdout
      .trim()
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as T);
  };

  it('tells what there is and what it costs before anything is made', async () => {
    const offers = await json<MachineOffer>('offers', '--gpu-memory', '40', '--region', 'us-central1');
    expect(offers[0]).toMatchObject({ fits: true, region: 'us-central1', price: { usd_per_hour: expect.any(Number) } });
    expect(offers.every(({ gpu }) => gpu.memory_bytes >= 40 * 1e9)).toBe(true);
    const { stdout } = await vm('offers', '--gpu-memory', '40', '--region', 'us-central1');
    expect(stdout).toMatch(
      /✓\s+a2-highgpu-1g\s+1×A100 40 GB\s+40 GB\s+12 \/ 85 GB\s+on demand\s+us-central1\s+\$3\.\d\d\/h/,
    );
  });

  it('makes nothing that nobody has agreed to', async () => {
    const { status, stderr } = await vm('create', 'demo', '--machine-type', 'g2-standard-24');
    expect(stderr).toMatch(
      /2×L4.*\nProject tune-project; zones, in this order: us-central1-a.*\nPrice: \$2\.\d\d an hour.*\nAt most: \$\d\d\.\d\d, when only Google’s own limit ends it, after 1 d/s,
    );
    expect(stderr).toMatch(/--yes/);
    expect(status).toBe(2);
    expect(google.requests.filter(({ name }) => name === 'instances.insert')).toEqual([]);
  });

  it('makes a VM that can be worked on, the next zone having one where the first has none', async () => {
    // A try before this one may have left it
    if (google.instances().length > 0) await vm('delete', 'demo', '--yes');
    google.stock('us-central1-a', 'g2-standard-24', 0);
    const lines = await json<VmView & { type: string; stage: string }>(
      ...[
        'create',
        'demo',
        '--machine-type',
        'g2-standard-24',
        '--zone',
        'us-central1-a',
        '--zone',
        'us-central1-b',
        '--yes',
      ],
    );
    const stages = lines.filter(({ type }) => type === 'progress').map(({ stage }) => stage);
    expect([...new Set(stages)]).toEqual([
      'creating',
      'booting',
      'host_key',
      'connecting',
      'driver',
      'installing',
      'ready',
    ]);
    expect(lines.at(-1)).toMatchObject({
      type: 'vm',
      name: 'demo',
      state: 'RUNNING',
      zone: 'us-central1-b',
      known: true,
    });
  });

  it('logs in with its own key, and copies there and back', async () => {
    const { stdout } = await vm('ssh', 'demo', 'nvidia-smi', '--query-gpu=name', '--format=csv,noheader');
    expect(stdout).toBe('NVIDIA L4\nNVIDIA L4\n');
    expect((await vm('ssh', 'demo', 'exit 7')).status).toBe(7);
    await writeFile(join(home, 'there.txt'), 'there and back');
    const remote = `demo:${google.instance('demo').guest.home}/there.txt`;
    expect(await vm('scp', join(home, 'there.txt'), remote)).toMatchObject({ status: 0 });
    expect(await vm('scp', remote, join(home, 'back.txt'))).toMatchObject({ status: 0 });
    expect(await readFile(join(home, 'back.txt'), 'utf8')).toBe('there and back');
  });

  it('shows its state, its cost and its end, and moves that', async () => {
    expect((await vm('list')).stdout).toMatch(
      /demo\s+RUNNING\s+2×L4\s+us-central1-b\s+\$2\.\d\d\/h\s+\$0\.\d\d\s+11 h 59 min|12 h/,
    );
    const [before] = await json<VmView>('describe', 'demo');
    const [after] = await json<VmView>('extend', 'demo', '--hours', '20');
    expect(Date.parse(after!.delete_at!) - Date.parse(before!.delete_at!)).toBeGreaterThan(7.9 * 3_600_000);
  });

  it('finds what somebody else has made', async () => {
    const elsewhere = await mkdtemp(join(tmpdir(), 'tuneyard-cli-'));
    const mine = home;
    home = elsewhere;
    const [found] = await json<Reconciliation>('reconcile', '--project', 'tune-project');
    expect(found!.unknown).toMatchObject([{ name: 'demo', known: false, cost: { usd: expect.any(Number) } }]);
    home = mine;
    await rm(elsewhere, { recursive: true });
  });

  it('says what would be lost with it, before it asks', async () => {
    expect(await vm('delete', 'demo')).toMatchObject({
      status: 2,
      stderr: expect.stringMatching(/Nothing on demo would be lost.*Delete demo.*--yes/s),
    });
    const there = google.instance('demo').guest.home;
    const recipe = { model: `${there}/example/model`, dataset: `${there}/example/backstories.jsonl` };
    await writeFile(join(home, 'small.tune.json'), JSON.stringify({ ...recipe, ...SMALL }));
    expect(await vm('scp', '-r', EXAMPLE, `demo:${there}/example`)).toMatchObject({ status: 0 });
    expect(await vm('scp', join(home, 'small.tune.json'), `demo:${there}/`)).toMatchObject({ status: 0 });
    const program = `node ${there}/.tuneyard/runner/*/bin/tuneyard.mjs`;
    expect(await vm('ssh', 'demo', `${program} train ${there}/small.tune.json`)).toMatchObject({ status: 0 });
    expect((await vm('delete', 'demo')).stderr).toMatch(/On demo:\n {2}not fetched: .*--fetch DIR.*Delete demo/s);
  });

  it('fetches that and deletes it with all that belongs to it, and says what it has cost', async () => {
    const results = join(home, 'results');
    const lines = await json<VmDeletion & { type?: string; folder?: string }>(
      ...['delete', 'demo', '--fetch', results, '--yes'],
    );
    const { folder } = lines.find(({ type }) => type === 'fetched')!;
    expect(await readdir(folder!)).toEqual(expect.arrayContaining(['config.json', 'model.safetensors']));
    const done = lines.at(-1);
    expect(done!.verified.join()).toMatch(/demo/);
    expect(google.instances()).toEqual([]);
    expect(google.world.disks.size).toBe(0);
    expect(Math.round(done!.cost!.usd * 100)).toBe(Math.round(google.bill('demo') / 1e4));
    expect((await vm('list')).stdout).toBe('There are no VMs.\n');
    const [ended] = await json<VmView>('list', '--ended');
    expect(ended).toMatchObject({ name: 'demo', state: 'DELETED' });
  });

  it('says in one sentence what is wrong, and what to do', async () => {
    expect(await vm('describe', 'nothing')).toMatchObject({
      status: 2,
      stderr: 'No VM named nothing is known here.\n',
    });
    google.project().hasBilling = false;
    const { status, stderr } = await vm('create', 'poor', '--machine-type', 'g2-standard-4', '--yes');
    expect(stderr).toMatch(/has no billing account that is open: link one at https:/);
    expect(status).toBe(1);
    google.project().hasBilling = true;
    google.tokens.revoke();
    expect((await vm('offers')).stderr).toMatch(/gcloud auth|service account|key/);
  });
});
