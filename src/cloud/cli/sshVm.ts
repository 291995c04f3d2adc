/** `tuneyard vm ssh`, `scp` and `proxy`: the system's own programs, with the VM's key and its known host keys. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { VmSsh } from '@protocol/cloud';
import { TuneyardError } from '@protocol/errors';
import { relayStreams } from '../iap';
import { sshOptions } from '../sshOptions';
import { openCloud, openTunnel } from './openCloud';

/** @returns the exit status of ssh */
export async function sshCommand(vm: string, words: string[]): Promise<number> {
  const ssh = await find(vm);
  return run('ssh', [...sshOptions(ssh), '-p', String(ssh.port), `${ssh.user}@${ssh.hostName}`, '--', ...words]);
}

/** @param paths as scp has them, with `NAME:` for the VM's */
export async function scpCommand(paths: string[], { recurse = false }: { recurse?: boolean }): Promise<number> {
  const vm = paths.map((path) => /^([a-z][-a-z0-9]*):/.exec(path)?.[1]).find((name) => name !== undefined);
  if (vm === undefined)
    throw new TuneyardError('usage', 'Which VM? One of the paths begins with its name: NAME:~/results');
  const ssh = await find(vm);
  const there = `${ssh.user}@${ssh.hostName}:`;
  const words = paths.map((path) => (path.startsWith(`${vm}:`) ? there + path.slice(vm.length + 1) : path));
  return run('scp', [...(recurse ? ['-r'] : []), ...sshOptions(ssh), '-P', String(ssh.port), ...words]);
}

/** Standard input and output are the connection, until one of them ends. */
export async function proxyCommand(
  name: string,
  { project, zone, port }: { project?: string; zone?: string; port: number },
): Promise<void> {
  const cloud = openCloud((text) => process.stderr.write(`${text}\n`));
  const known = (await cloud.service.list({ refresh: false })).find((vm) => vm.name === name);
  const place = { project: project ?? known?.project, zone: zone ?? known?.zone, name };
  if (place.project === undefined || place.zone === undefined) {
    throw new TuneyardError('vm_not_found', `No VM named ${name} is known here: say --project and --zone.`);
  }
  const tunnel = await openTunnel(cloud, place as { project: string; zone: string; name: string }, port);
  await relayStreams(tunnel, process.stdin, process.stdout);
}

async function find(vm: string): Promise<VmSsh> {
  const { service } = openCloud(() => {});
  try {
    return await service.ssh(vm);
  } finally {
    service.dispose();
  }
}

async function run(program: string, words: string[]): Promise<number> {
  const child = spawn(program, words, { stdio: 'inherit' });
  const [status] = (await once(child, 'exit').catch((error: NodeJS.ErrnoException) => {
    const why = error.code === 'ENOENT' ? `There is no ${program} on this machine: install OpenSSH.` : error.message;
    throw new TuneyardError('file_not_found', why);
  })) as [number | null];
  return status ?? 255;
}
