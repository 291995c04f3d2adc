/** What the extension says of VMs and offers, and how it speaks to the program that asks Google. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expectedSeconds } from '@host/cloud/expectedTime';
import { CloudClient } from '@host/cloud/ui/cloudClient';
import { groupOffers, zonesToTry } from '@host/cloud/ui/offerChoices';
import { orderText } from '@host/cloud/ui/orderText';
import { dueReminders } from '@host/cloud/ui/reminders';
import { formatMoney, vmDetails, vmLine } from '@host/cloud/ui/vmLine';
import type { CreateVm, MachineOffer, VmView } from '@protocol/cloud';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { buildRunner } from '../support/runner';
import { GoogleStandIn } from './standIn/googleStandIn';

const NOW = Date.parse('2026-11-23T12:00:00Z');
const in_ = (minutes: number) => new Date(NOW + minutes * 60_000).toISOString();

const vm = (changes: Partial<VmView> = {}): VmView => ({
  name: 'tuneyard-7f3',
  provider: 'gce',
  project: 'p',
  zone: 'us-central1-a',
  state: 'RUNNING',
  machine_type: 'g2-standard-24',
  gpu: { type: 'nvidia-l4', name: 'L4', count: 2, memory_bytes: 24e9 },
  provisioning_model: 'STANDARD',
  known: true,
  created: in_(-60),
  started: in_(-40),
  delete_at: in_(312),
  cost: { usd: 1.335, usd_per_hour: 2.003, as_of: '2026-11-01' },
  host: 'ssh:tuneyard-7f3',
  ...changes,
});

const offer = (changes: Partial<MachineOffer> = {}): MachineOffer => ({
  machine_type: 'g2-standard-24',
  cpus: 24,
  memory_bytes: 96 * 2 ** 30,
  gpu: { type: 'nvidia-l4', name: 'L4', count: 2, memory_bytes: 24e9 },
  provisioning_model: 'STANDARD',
  region: 'us-central1',
  zones: ['us-central1-a', 'us-central1-b'],
  price: {
    usd_per_hour: 2,
    disk_usd_per_hour: 0.05,
    region: 'us-central1',
    as_of: '2026-11-01',
    source: 'List (long)',
  },
  fits: true,
  ...changes,
});
const priced = (usd: number, region = 'us-central1') => ({
  usd_per_hour: usd,
  disk_usd_per_hour: 0,
  region,
  as_of: '2026-11-01',
  source: 'List',
});
const QUOTA = { metric: 'NVIDIA_L4_GPUS', region: 'us-central1', limit: 0, usage: 0, needed: 2, url: 'https://x' };

describe('a VM in one line', () => {
  it('says its state, what it costs, has cost, and when it is gone', () => {
    expect(vmLine(vm(), NOW)).toBe('RUNNING · $2.00/h · $1.34 so far · deleted in 5 h 12 min');
  });

  it('says the stage with its time while it is made, and no price that is not known', () => {
    const { cost: _, ...rest } = vm({ stage: 'driver', stage_since: in_(-2), delete_at: in_(-1) });
    expect(vmLine(rest, NOW)).toBe('Installing the driver 2 min · its time is up');
    expect(vmDetails(rest, NOW, 'en').find(([name]) => name === 'Cost')?.[1]).toMatch(/not known.*gce\.prices/);
  });

  it('tells whose it is where it was made elsewhere, and that Google took it away', () => {
    expect(vmLine(vm({ known: false, owner: 'ada' }), NOW)).toMatch(/made elsewhere by ada$/);
    expect(vmLine(vm({ state: 'TERMINATED', preempted: true }), NOW)).toMatch(/^taken away by Google/);
  });

  it('rounds to the cent as a bill does', () => {
    expect([1.005, 0.004_999_4, 2.675, 10].map(formatMoney)).toEqual(['$1.01', '$0.00', '$2.68', '$10.00']);
  });
});

describe('offers', () => {
  it('come once a machine where it is cheapest, out of quota and too small below', () => {
    const east = offer({ region: 'us-east1', zones: ['us-east1-b'], price: priced(3, 'us-east1') });
    const spot = offer({ provisioning_model: 'SPOT', price: priced(0.8) });
    const locked = offer({ machine_type: 'a2-highgpu-1g', quota: QUOTA });
    const small = offer({ machine_type: 'g2-standard-4', fits: false });
    const here = offer();
    const groups = groupOffers([spot, here, east, locked, small]);
    expect(groups).toEqual({
      usable: [here],
      spot: [spot],
      elsewhere: [east],
      outOfQuota: [locked],
      tooSmall: [small],
    });
  });

  it('are tried where they cost no more than what was agreed to, and are within quota', () => {
    const cheap = offer({ region: 'us-east1', zones: ['us-east1-b'], price: priced(1.9) });
    const dear = offer({ region: 'europe-west4', zones: ['europe-west4-a'], price: priced(2.5) });
    const locked = offer({ region: 'us-west1', zones: ['us-west1-a'], quota: QUOTA });
    const { price: _, ...unpriced } = offer({ region: 'asia-east1', zones: ['asia-east1-a'] });
    expect(zonesToTry([cheap, dear, locked, unpriced, offer()], offer())).toEqual([
      'us-central1-a',
      'us-central1-b',
      'us-east1-b',
    ]);
  });
});

describe('the one question before it costs', () => {
  const create: CreateVm = {
    project: 'p',
    name: 'tuneyard-7f3',
    machine_type: 'g2-standard-24',
    zones: ['us-central1-a'],
    provisioning_model: 'STANDARD',
    max_run_seconds: 12 * 3600,
    idle_minutes: 30,
    service_account: 'none',
  };
  const span = (seconds: number) => `${seconds / 3600} h`;
  const asked = (changes: Partial<CreateVm> = {}, offered = offer(), more: { expectedSeconds?: number } = {}) =>
    orderText({ create: { ...create, ...changes }, offer: offered, now: NOW, span, ...more });

  it('says the price, what its whole time costs, and the most that Google’s own limit lets it cost', () => {
    const { question, detail } = asked({}, offer(), { expectedSeconds: 7200 });
    expect(question).toBe('Make tuneyard-7f3 for $2.05 an hour?');
    expect(detail).toContain('Price: $2.05 an hour, with disk and address (List, 2026-11-01)');
    expect(detail).toContain('Expected: $4.10, as the run takes roughly 2 h');
    expect(detail).toContain('Its whole time, 12 h: $24.60');
    expect(detail).toContain('At most: $49.20, when only Google’s own limit ends it, after 24 h');
    expect(detail).not.toContain('old');
  });

  it('does not promise a deletion that the VM cannot do itself', () => {
    const without = asked().detail;
    expect(without).toContain('switches itself off after 30 idle minutes');
    expect(without).toContain('no service account');
    const own = asked({ service_account: 'default' }).detail;
    expect(own).toContain('deletes itself after 30 idle minutes');
    expect(own).not.toContain('no service account');
    expect(asked({ provisioning_model: 'SPOT' }).detail).toContain('Google stops it and keeps its disk');
  });

  it('warns of a price that is old, and names none that is not known', () => {
    const old = offer({ price: { ...priced(2), as_of: '2025-03-06' } });
    expect(asked({}, old).detail).toContain('That price is old');
    const { price: _, ...unpriced } = offer({ price_missing: 'Set it.' });
    expect(asked({}, unpriced)).toMatchObject({ question: 'Make tuneyard-7f3?' });
    expect(asked({}, unpriced).detail).toContain('What it costs is not known. Set it.');
    expect(asked({}, unpriced).detail).not.toContain('$');
  });
});

describe('a rough guess of a run’s time', () => {
  it('goes by weights, tokens and the GPU, and is none for a GPU that is not known', () => {
    const run = { parameters: 1e9, batch: 8, length: 512, total_steps: 1000 };
    expect(expectedSeconds(run, 'nvidia-l4')).toBe(600 + Math.ceil((6e9 * 4_096_000) / (30.3e12 * 0.2)));
    expect(expectedSeconds(run, 'nvidia-b200')).toBeUndefined();
  });
});

describe('reminders', () => {
  const kinds = (changes: Partial<VmView>) => dueReminders([vm(changes)], NOW).map(({ kind }) => kind);

  it('come 15 minutes before a VM is deleted, and once its idleness is half over', () => {
    expect(kinds({ delete_at: in_(16) })).toEqual([]);
    expect(kinds({ delete_at: in_(14) })).toEqual(['ends']);
    expect(kinds({ idle_seconds: 14 * 60, idle_minutes: 30 })).toEqual([]);
    expect(kinds({ idle_seconds: 16 * 60, idle_minutes: 30 })).toEqual(['idle']);
    expect(kinds({ idle_seconds: 3600, idle_minutes: 0 })).toEqual([]);
  });

  it('tell of a VM that Google took away, and of none that somebody else has made', () => {
    expect(kinds({ state: 'TERMINATED', preempted: true })).toEqual(['preempted']);
    expect(kinds({ known: false, delete_at: in_(5) })).toEqual([]);
  });

  it('come anew when the end was moved', () => {
    const [first] = dueReminders([vm({ delete_at: in_(10) })], NOW);
    const [again] = dueReminders([vm({ delete_at: in_(12) })], NOW);
    expect(again?.id).not.toBe(first?.id);
  });
});

describe('the program that asks Google', () => {
  let google: GoogleStandIn | undefined;
  let client: CloudClient | undefined;
  const said: string[] = [];
  beforeAll(() => buildRunner());
  afterEach(async () => {
    client?.dispose();
    await google?.close();
  });

  it('answers, is started anew when it was killed, and tells no credentials', async () => {
    const standIn = await GoogleStandIn.start();
    google = standIn;
    const key = await standIn.credentialsFile('service_account');
    const program = fileURLToPath(new URL('../../remote-runner/bin/tuneyard.mjs', import.meta.url));
    const environment = { TUNEYARD_GCE_ENDPOINT: standIn.endpoint, TUNEYARD_GCE_CREDENTIALS: key };
    client = new CloudClient({ program, environment: () => environment, log: (line) => said.push(line) });
    const identity = await client.request('cloud/identity', {});
    expect(identity).toMatchObject({ provider: 'gce', project: 'tune-project', source: expect.stringContaining(key) });

    // Whoever waits for an answer from a program that ends is told, and the next one gets another program.
    standIn.fault(({ name }) => (name === 'machineTypes.aggregatedList' ? 'hang' : undefined));
    const asked = new Promise<void>((resolve) => {
      standIn.onRequest(({ name }) => {
        if (name === 'machineTypes.aggregatedList') resolve();
      });
    });
    const lost = client.request('cloud/offers', { project: 'tune-project' }).catch((error: unknown) => error);
    await asked;
    process.kill(childOf(process.pid, program), 'SIGKILL');
    expect(await lost).toMatchObject({ code: 'internal', data: { reason: 'program_ended' } });
    expect((await client.request('cloud/identity', {})).project).toBe('tune-project');
    const { private_key } = JSON.parse(readFileSync(key, 'utf8')) as { private_key: string };
    expect(said.join('\n')).not.toContain(private_key.slice(60, 100));
  });
});

/** The process that this one has started with that program. */
function childOf(parent: number, program: string): number {
  const children = readFileSync(`/proc/${parent}/task/${parent}/children`, 'utf8').trim().split(' ').map(Number);
  const found = children.find((pid) => readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(program));
  if (found === undefined) throw new Error('it has no such child');
  return found;
}
