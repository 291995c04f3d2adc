/** A VM from "Provision GPU VM" to its deletion, as a person does it: Google's stand-in, and a VM that is a real sshd. */
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { CloudService } from '@host/cloud/cloudService';
import { gceProvider } from '@host/cloud/gce/gceProvider';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writesLogs } from '../../scripts/lib/vscode.mjs';
import { GoogleStandIn } from '../cloud/standIn/googleStandIn';
import { sshdMissing } from '../support/ssh/sshd';
import { chapters } from '../support/vscode/chapters';
import { registry, registryMissing } from '../support/vscode/registry';
import { VsCode, vsCodeMissing } from '../support/vscode/vsCode';
import type { Window } from '../support/vscode/window';

const EXAMPLE = fileURLToPath(new URL('../../examples/default', import.meta.url));
const missing = vsCodeMissing ?? sshdMissing ?? (await registryMissing());
const PROJECT = 'tune-project';

describe.skipIf(missing)(`VMs of Google's${missing ? ` (${missing})` : ''}`, () => {
  let google: GoogleStandIn;
  let code: VsCode;
  let window: Window;
  let settings: Record<string, unknown>;
  chapters(() => (window ? { code, window } : undefined));

  beforeAll(async () => {
    google = await GoogleStandIn.start({ operationMs: 200, bootMs: 200, driverMs: 1500 });
    settings = { 'tuneyard.npmRegistry': registry, 'tuneyard.gce.endpoint': google.endpoint };
    code = await VsCode.start({
      settings,
      env: { TUNEYARD_GCE_USER: userInfo().username, TUNEYARD_GCE_SSH_PORT: String(google.sshPort) },
    });
    await cp(join(EXAMPLE, 'backstories.jsonl'), join(code.workspace, 'backstories.jsonl'));
    await cp(join(EXAMPLE, 'model'), join(code.workspace, 'model'), { recursive: true });
    await writeFile(
      join(code.workspace, 'backstories.tune.json'),
      JSON.stringify({
        model: './model',
        dataset: { path: './backstories.jsonl', test_size: 0.02 },
        max_steps: 5000,
        max_length: 64,
        per_device_train_batch_size: 4,
        logging_steps: 1,
        eval_strategy: 'no',
        save_strategy: 'steps',
        save_steps: 4,
        save_total_limit: 2,
      }),
    );
    window = await code.open();
    await window.showSidebar();
  });
  afterAll(async () => {
    await code?.close();
    await google?.close();
  });

  const row = (name: string | RegExp) => window.rowOf('Hosts', name);
  const cents = (usd: string | undefined) => Math.round(Number(usd) * 100);
  /** Puts it into the machine's settings, which VS Code reads anew. */
  const set = (more: Record<string, unknown>) => {
    settings = { ...settings, ...more };
    return writeFile(join(code.dir, 'user-data/Machine/settings.json'), JSON.stringify(settings));
  };
  /** Answers all questions with what is proposed, up to the one that costs. */
  const order = async (machine: string) => {
    await window.command('Tuneyard: Provision GPU VM');
    await window.question('1/4').waitFor();
    await window.pick(PROJECT);
    await window.question('2/4').waitFor();
    // Of a long list only what is in view is there.
    await window.input.fill(machine);
    await window.pick(/on demand/);
    await window.question('3/4').waitFor();
    await window.pick();
    await window.question('4/4').waitFor();
    await window.pick();
    const question = window.dialog(/Make tuneyard-.../);
    await question.waitFor();
    return question;
  };
  const nameIn = (text: string) => /tuneyard-[0-9a-f]{3}/.exec(text)?.[0] ?? '';
  let vm = '';
  let keyFile = '';

  it('asks Google nothing before a VM is asked for', async () => {
    await row('This machine').waitFor();
    await window.page.waitForTimeout(7000);
    expect(google.requests).toEqual([]);
  });

  it('says which command is missing where there are no credentials', async () => {
    await window.command('Tuneyard: Provision GPU VM');
    const error = window.notification(/No credentials for Google Cloud.*gcloud auth application-default login/);
    await error.waitFor();
    await error.getByRole('button', { name: 'Sign in…' }).click();
    await window.choice('Use a key file').waitFor();
    await window.screenshots('cloud-credentials');
    await window.page.keyboard.press('Escape');
    await window.closeNotifications();
    keyFile = await google.credentialsFile('service_account');
    await set({ 'tuneyard.gce.serviceAccountFile': keyFile });
  });

  it('shows machines with prices first, and why some cannot be had', async () => {
    // One that deletes itself soon may use either.
    for (const region of google.project().regionQuotas.keys()) {
      for (const metric of ['NVIDIA_H100_GPUS', 'PREEMPTIBLE_NVIDIA_H100_GPUS']) google.quota(metric, 0, region);
    }
    await window.command('Tuneyard: Provision GPU VM');
    await window.pick(PROJECT);
    await window.question('2/4').waitFor();
    await window.choice(/1×L4 · 24 GB\$0\.\d\d\/h · on demand/).waitFor();
    await window.screenshots('cloud-offers');
    await window.input.fill('8×H100');
    await window.choice(/8×H100.*✗ quota/s).click();
    await window.dialog(/NVIDIA_H100_GPUS does not allow/).waitFor();
    await window.screenshots('cloud-quota');
    await window.page.keyboard.press('Escape');
    await window.question('2/4').waitFor();
    await window.page.keyboard.press('Escape');
  });

  it('makes nothing where the person does not agree', async () => {
    const question = await order('2×L4');
    const text = await question.innerText();
    expect(text).toMatch(/for \$2\.\d\d an hour/);
    expect(text).toMatch(/Its whole time, 12 h: \$24\.\d\d/);
    expect(text).toMatch(/At most: \$48\.\d\d, when only Google’s own limit ends it, after 1 day/);
    expect(text).toMatch(/switches itself off after 30 idle minutes/);
    await window.screenshots('cloud-confirm');
    await question.getByRole('button', { name: 'Not now' }).click();
    expect(google.requests.filter(({ name }) => name === 'instances.insert')).toEqual([]);
  });

  it('makes a VM stage by stage, and has it among the hosts', async () => {
    const question = await order('2×L4');
    vm = nameIn(await question.innerText());
    await question.getByRole('button', { name: 'Make it' }).click();
    await window.notification(/Making tuneyard-.*(driver|runner|Connecting|Booting)/s).waitFor();
    await window.screenshots('cloud-making');
    await window.appears(window.notification(`${vm} is ready: 2×L4`), 180_000);
    await row(new RegExp(`^${vm}, RUNNING · \\$2\\.\\d\\d/h · \\$0\\.\\d\\d so far · deleted in 1[12] h`)).waitFor();
    await window.screenshots('cloud-ready');
    expect(google.instances()).toHaveLength(1);
  });

  it('trains on it, as on any host', async () => {
    await window.closeNotifications();
    await window.openFile('backstories.tune.json');
    await window.codeLens('Start Fine-tune').click();
    await window.choice(/Provision a VM.*from \$\d/).waitFor();
    await window.screenshots('cloud-where');
    await window.pick(new RegExp(vm));
    await window.appears(window.row(/^backstories/), 180_000);
    await row(/1 run/).waitFor({ timeout: 120_000 });
    await row(new RegExp(`^${vm}`)).hover();
    await window.screenshots('cloud-training');
    await window.row(/^backstories.*loss/).waitFor({ timeout: 120_000 });
  });

  it('moves its end', async () => {
    await window.act(row(new RegExp(`^${vm}`)), 'Extend VM');
    await window.pick('4 h more');
    await window.notification(new RegExp(`${vm} is deleted in 1[56] h`)).waitFor();
    await row(new RegExp(`^${vm}.*deleted in 1[56] h`)).waitFor();
  });

  it('deletes it with certainty, once it is clear what would be lost and that is fetched', async () => {
    await window.closeNotifications();
    const runs = join(google.instance(vm).guest.home, '.tuneyard/runs');
    const saved = async () =>
      (await readdir(runs, { recursive: true })).some((path) => /checkpoints\/step-\d+$/.test(path));
    await expect.poll(saved, { timeout: 60_000 }).toBe(true);
    await window.act(row(new RegExp(`^${vm}`)), 'Delete VM');
    const question = window.dialog(new RegExp(`Delete ${vm}\\? \\$0\\.\\d\\d spent`));
    await question.waitFor();
    expect(await question.innerText()).toMatch(/Still training: backstories.*Not fetched: backstories, step \d+/s);
    await window.screenshots('cloud-delete');
    await question.getByRole('button', { name: 'Fetch first' }).click();
    await window.typePath(`${code.workspace}/`);
    const said = window.notification(`${vm} is deleted`);
    await window.appears(said, 120_000);
    await window.screenshots('cloud-deleted');
    const fetched = await readdir(join(code.workspace, 'backstories'));
    expect(fetched).toEqual(expect.arrayContaining(['config.json', 'model.safetensors', 'tokenizer.json']));
    const shown = /it has cost \$(\d+\.\d\d)/.exec(await said.innerText())?.[1];
    expect(cents(shown)).toBe(Math.round(google.bill(vm) / 1e4));
    await row(new RegExp(`^${vm}`)).waitFor({ state: 'detached' });
    expect(google.instances()).toEqual([]);
    expect(google.world.disks.size).toBe(0);
  });

  it('leaves nothing of one that is cancelled while it is made', async () => {
    await window.closeNotifications();
    google.world.options.driverMs = 600_000;
    const question = await order('1×L4');
    const name = nameIn(await question.innerText());
    await question.getByRole('button', { name: 'Make it' }).click();
    const making = window.notification(/Making tuneyard-.*Installing the driver/s);
    await making.waitFor({ timeout: 60_000 });
    expect(google.instances()).toHaveLength(1);
    await making.getByRole('button', { name: 'Cancel' }).click();
    await window.appears(window.notification(`${name} was cancelled, and nothing of it is left`), 60_000);
    expect(google.instances()).toEqual([]);
    expect(google.world.disks.size).toBe(0);
    google.world.options.driverMs = 1500;
  });

  it('goes on with one that was being made when the window was closed', async () => {
    await window.closeNotifications();
    google.world.options.driverMs = 15_000;
    const question = await order('1×L4');
    vm = nameIn(await question.innerText());
    await question.getByRole('button', { name: 'Make it' }).click();
    await window.notification(/Installing the driver/).waitFor({ timeout: 60_000 });
    await window.reload();
    await window.showSidebar();
    await row(new RegExp(`^${vm}`)).waitFor();
    await row(new RegExp(`^${vm}, RUNNING · .*so far`)).waitFor({ timeout: 120_000 });
    expect(google.instances()).toHaveLength(1);
  });

  it('finds a VM that was made elsewhere, and deletes it when that is asked for', async () => {
    const home = await mkdtemp(join(tmpdir(), 'tuneyard-elsewhere-'));
    const credentialsFile = await google.credentialsFile('service_account');
    const provider = gceProvider({ endpoint: google.endpoint, credentialsFile });
    const service = new CloudService({
      provider,
      home,
      version: '0.1.0',
      user: userInfo().username,
      sshPort: google.sshPort,
    });
    try {
      google.world.options.driverMs = 500;
      const wish = { project: PROJECT, name: 'forgotten', machine_type: 'g2-standard-4', zones: ['us-central1-a'] };
      await service.create({ ...wish, provisioning_model: 'STANDARD' });
    } finally {
      service.dispose();
      await rm(home, { recursive: true, force: true });
    }
    await window.command('Tuneyard: Find VMs');
    const found = window.notification(/not made here: forgotten \(tune-project\)\. They cost \$\d/);
    await window.appears(found, 60_000);
    await row(/^forgotten.*made elsewhere/).waitFor();
    await window.screenshots('cloud-orphan');
    await found.getByRole('button', { name: 'Delete…' }).click();
    const question = window.dialog('Delete forgotten');
    await question.getByRole('button', { name: 'Delete', exact: true }).click();
    await window.appears(window.notification('forgotten is deleted'), 60_000);
    await row(/^forgotten/).waitFor({ state: 'detached' });
  });

  it('deletes all that are mine after one question', async () => {
    await window.closeNotifications();
    await window.command('Tuneyard: Delete All VMs of Mine');
    const question = window.dialog(/Delete 1 VMs? with all/);
    await question.waitFor({ timeout: 60_000 });
    expect(await question.innerText()).toContain(vm);
    await question.getByRole('button', { name: 'Delete all' }).click();
    await window.appears(window.notification(`${vm} is deleted`), 60_000);
    expect(google.instances()).toEqual([]);
  });

  it('tells no credentials to the log', async ({ skip }) => {
    skip(!writesLogs(), 'this VS Code writes no logs (needs the Debian packages g++ and make, to compile that part)');
    const log = await code.output();
    const key = JSON.parse(await readFile(keyFile, 'utf8'));
    expect(log).toContain(vm);
    expect(log).not.toContain(key.private_key.slice(60, 100));
    expect(log).not.toMatch(/ya29\.|Bearer /);
  });
});
