/**
 * A training on two machines: network and host name spaces of their own, a cable between them, and an SSH server on the
 * second one. Ranks reach each other by that cable alone.
 */
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { RunEvent } from '@protocol/events';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeRanksModel } from '../support/ranksModel';
import { buildRunner } from '../support/runner';

const PROGRAM = fileURLToPath(new URL('../../remote-runner/bin/tuneyard.mjs', import.meta.url));
const SSHD = '/usr/sbin/sshd';
const MPIRUN = '/usr/bin/mpirun.openmpi';

const missing =
  process.platform !== 'linux' || process.getuid?.() !== 0
    ? 'needs root on Linux'
    : !existsSync(MPIRUN)
      ? 'needs the Debian package openmpi-bin'
      : !existsSync(SSHD)
        ? 'needs the Debian package openssh-server'
        : canMakeNamespaces()
          ? undefined
          : 'needs the Debian package iproute2, and leave to make network namespaces';

function canMakeNamespaces(): boolean {
  try {
    execFileSync('ip', ['netns', 'add', `ty-try-${process.pid}`], { stdio: 'ignore' });
    execFileSync('ip', ['netns', 'del', `ty-try-${process.pid}`], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

describe.skipIf(missing !== undefined)(`two machines${missing === undefined ? '' : ` (${missing})`}`, () => {
  const names = ['a', 'b'].map((each) => `ty${process.pid}${each}`);
  const hosts = ['gpu-a', 'gpu-b'];
  const addresses = ['10.213.7.1', '10.213.7.2'];
  let dir: string;
  let sshd: ReturnType<typeof spawn>;

  const ip = (...args: string[]) => execFileSync('ip', args, { stdio: 'pipe' });
  /** What starts a program on a machine. */
  const on = (machine: number) => [
    'netns',
    'exec',
    names[machine]!,
    'unshare',
    '--uts',
    'sh',
    '-c',
    `hostname ${hosts[machine]}; exec "$@"`,
    'sh',
  ];

  beforeAll(async () => {
    await buildRunner();
    dir = await mkdtemp(join(tmpdir(), 'tuneyard-machines-'));
    await writeRanksModel(dir, 30);
    for (const name of names) ip('netns', 'add', name);
    ip('link', 'add', names[0]!, 'type', 'veth', 'peer', 'name', names[1]!);
    for (const [i, name] of names.entries()) {
      ip('link', 'set', name, 'netns', name);
      ip('-n', name, 'addr', 'add', `${addresses[i]}/24`, 'dev', name);
      for (const link of ['lo', name]) ip('-n', name, 'link', 'set', link, 'up');
    }
    for (const key of ['host', 'client']) {
      execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', join(dir, key)]);
    }
    const config = [
      `ListenAddress ${addresses[1]}`,
      'Port 2222',
      `HostKey ${join(dir, 'host')}`,
      `AuthorizedKeysFile ${join(dir, 'client.pub')}`,
      `PidFile none`,
      'StrictModes no',
      'UsePAM no',
      'PermitRootLogin yes',
    ];
    await writeFile(join(dir, 'sshd_config'), config.join('\n'));
    execFileSync('mkdir', ['-p', '/run/sshd']);
    sshd = spawn('ip', [...on(1), SSHD, '-D', '-f', join(dir, 'sshd_config')], { stdio: 'ignore' });
    await writeFile(join(dir, 'hosts.txt'), addresses.map((address) => `${address} slots=1\n`).join(''));
  });
  afterAll(async () => {
    sshd?.kill();
    for (const name of names) execFileSync('ip', ['netns', 'del', name], { stdio: 'ignore' });
    await rm(dir, { recursive: true, force: true });
  });

  const eventsOf = (run: string): RunEvent[] =>
    readFileSync(join(dir, run, 'events.jsonl'), 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as RunEvent);
  const train = (run: string, ...settings: string[]) => {
    const set = settings.flatMap((setting) => ['--set', setting]);
    const argv = [process.execPath, PROGRAM, 'train', 'r.tune.json', '--run-dir', run, ...set];
    const ssh = `ssh -p 2222 -i ${join(dir, 'client')} -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR`;
    execFileSync('ip', [...on(0), ...argv], {
      cwd: dir,
      stdio: 'pipe',
      env: { ...process.env, TUNEYARD_HOME: join(dir, 'home'), TUNEYARD_MPIRUN: MPIRUN, OMPI_MCA_plm_rsh_agent: ssh },
    });
  };

  it('train as one does, each rank on its own', () => {
    train('one', 'gradient_accumulation_steps=2');
    train('two', 'world_size=2', 'hostfile=hosts.txt');
    const [one, two] = [eventsOf('one'), eventsOf('two')];
    expect(two.find((event) => event.type === 'start')?.ranks).toEqual([
      { host: 'gpu-a', device: 'CPU' },
      { host: 'gpu-b', device: 'CPU' },
    ]);
    const losses = (events: RunEvent[]) => events.flatMap((event) => (event.type === 'log' ? [event.loss] : []));
    expect(losses(two)).toHaveLength(losses(one).length);
    for (const [i, loss] of losses(two).entries()) {
      expect(Math.abs(loss - losses(one)[i]!) / loss).toBeLessThan(1e-5);
    }
    expect(two.at(-1)).toMatchObject({ type: 'end', status: 'completed' });
    expect(readFileSync(join(dir, 'two/ranks/rank-1.log'), 'utf8')).toMatch(/process \d+ on gpu-b/);
  });
});
