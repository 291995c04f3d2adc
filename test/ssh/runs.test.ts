/** Models fetched, and hosts found again, over a real sshd: what breaks off goes on, what nobody asked for asks nobody. */
import { mkdtemp, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Host, HostPrompts } from '@host/hosts/host';
import { isQuiet, quietly } from '@host/hosts/quietly';
import { downloadModel } from '@host/runs/exportModel';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { clientsFor, putEngine } from '../support/host/machine';
import { buildRunner } from '../support/runner';
import { type ChaosProxy, startChaosProxy } from '../support/ssh/chaosProxy';
import { hostOf } from '../support/ssh/sshClient';
import { makeKey, type Sshd, sshdMissing, startSshd } from '../support/ssh/sshd';
import { tinyProject } from '../unit/cli/support';

const why = sshdMissing ? ` (${sshdMissing})` : '';

describe.skipIf(sshdMissing)(`a model on a host${why}`, () => {
  let sshd: Sshd;
  let proxy: ChaosProxy;
  let host: Host;
  let model: string;
  const open: { dispose(): unknown }[] = [];

  beforeAll(async () => {
    await buildRunner();
    sshd = await startSshd();
    proxy = await startChaosProxy(sshd.port);
    await putEngine(sshd.home);
    await tinyProject(sshd.dir);
    model = join(sshd.dir, 'model');
    host = hostOf(sshd.sshConfig('box', [`Port ${proxy.port}`, 'StrictHostKeyChecking no']), {
      dir: sshd.dir,
      ssh: { stallMs: 3000, retry: { times: 5, firstMs: 100 } },
    });
    open.push(host);
  });
  afterAll(async () => {
    for (const each of open.reverse()) each.dispose();
    await proxy?.dispose();
    await sshd?.dispose();
  });

  function openClients() {
    const clients = clientsFor([host], join(sshd.dir, 'cache'));
    open.push(clients);
    return clients;
  }
  const folder = () => mkdtemp(join(sshd.dir, 'to-'));
  const noSignal = new AbortController().signal;
  const exportsLeft = () => readdir(join(sshd.home, '.tuneyard/exports'));

  it('arrives whole where the connection is cut again and again', async () => {
    const parent = await folder();
    const clients = openClients();
    const runner = await clients.open('ssh:box');
    let cuts = 0;
    const report = (stage: string) => {
      if (!stage.includes('safetensors') || cuts >= 3) return;
      cuts++;
      proxy.cutAfter(5000, 'down');
    };
    const bytes = await downloadModel(runner, model, join(parent, 'mine'), { signal: noSignal, report });
    expect(cuts).toBe(3);
    expect(await readdir(parent)).toEqual(['mine']);
    expect(await exportsLeft()).toEqual([]);

    const again = await clients.open('ssh:box');
    await again.job(['export', model, '--out', join(parent, 'there')]);
    const names = await readdir(join(parent, 'there'));
    const [there, here] = await Promise.all(
      ['there', 'mine'].map((where) => Promise.all(names.map((name) => readFile(join(parent, where, name))))),
    );
    expect(here!.map((file, i) => file.equals(there![i]!))).toEqual(names.map(() => true));
    expect(bytes).toBe(there!.reduce((sum, { length }) => sum + length, 0));
  });

  it('leaves nothing behind, here or there, where the person cancels', async () => {
    const parent = await folder();
    const clients = openClients();
    const runner = await clients.open('ssh:box');
    const controller = new AbortController();
    const report = (stage: string) => {
      if (stage.startsWith('Fetching')) controller.abort();
    };
    const fetched = downloadModel(runner, model, join(parent, 'mine'), { signal: controller.signal, report });
    await expect(fetched).rejects.toMatchObject({ code: 'cancelled' });
    expect([await readdir(parent), await exportsLeft()]).toEqual([[], []]);
  });

  it('is not half there where it cannot be exported', async () => {
    const parent = await folder();
    const clients = openClients();
    const runner = await clients.open('ssh:box');
    const fetched = downloadModel(runner, join(parent, 'none'), join(parent, 'mine'), {
      signal: noSignal,
      report() {},
    });
    await expect(fetched).rejects.toMatchObject({ place: { file: expect.stringContaining('none') } });
    expect([await readdir(parent), await exportsLeft()]).toEqual([[], []]);
  });
});

describe.skipIf(sshdMissing)(`a window that opens${why}`, () => {
  it('asks nothing for hosts it finds again by itself, also behind a jump host; and all once somebody asks', async () => {
    await using sshd = await startSshd();
    const locked = join(sshd.dir, 'locked');
    await sshd.authorize(await makeKey(locked, 'ed25519', { passphrase: 'open sesame' }));
    const lines = [`IdentityFile ${locked}`, `UserKnownHostsFile ${join(sshd.dir, 'known')}`];
    const only = (text: string) => text.replace(`  IdentityFile ${sshd.clientKey}\n`, '');
    const config = only(sshd.sshConfig('jump', lines)) + only(sshd.sshConfig('box', [...lines, 'ProxyJump jump']));

    const asked: [question: string, host: string, quiet: boolean][] = [];
    const answer =
      <T>(question: string, given: T) =>
      async ({ host }: { host: string }) => {
        asked.push([question, host.replace(/ .*/, ''), isQuiet()]);
        return isQuiet() ? undefined : given;
      };
    const prompts: HostPrompts = {
      trustHostKey: answer('key', true),
      passphrase: answer('passphrase', 'open sesame'),
      password: answer('password', undefined),
      answers: answer('answers', undefined),
    };
    const connect = async (work: (host: Host) => Promise<void>) => {
      asked.length = 0;
      await using host = hostOf(config, { dir: sshd.dir, prompts });
      await work(host);
    };

    await connect(async (host) => {
      await expect(quietly(() => host.connect())).rejects.toMatchObject({ code: 'cancelled' });
      expect(host.state.kind).toBe('disconnected');
    });
    expect(asked).toEqual([['key', 'jump', true]]);
    await connect((host) => host.connect());
    expect(asked).toEqual([
      ['key', 'jump', false],
      ['passphrase', 'jump', false],
    ]);
    // The keys are known now; the passphrase is not.
    await connect(async (host) => {
      await expect(quietly(() => host.connect())).rejects.toMatchObject({ code: 'cancelled' });
    });
    expect(asked).toEqual([['passphrase', 'jump', true]]);
  });
});
