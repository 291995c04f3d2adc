/** The runner on a VM, for as long as something is done with it. */
import type { VmSsh } from '@protocol/cloud';
import type { HostPrompts } from '../../hosts/host';
import type { Hosts } from '../../hosts/hosts';
import { SshHost } from '../../hosts/ssh/sshHost';
import { vmSettings } from '../../hosts/ssh/vmSettings';
import type { Runner } from '../../runner/runner';
import { RunnerClients } from '../../runner/runnerClients';
import type { Cloud } from './openCloud';

/** A VM's key opens it and its host keys are known: there is nothing to ask. */
const NO_QUESTIONS: HostPrompts = {
  trustHostKey: async () => undefined,
  passphrase: async () => undefined,
  password: async () => undefined,
  answers: async () => undefined,
};

/** @throws what connecting or installing fails with, and what the work throws */
export async function withVmRunner<T>(
  { runner: { folder, cache, settings } }: Cloud,
  ssh: VmSsh,
  { limitMs, work }: { limitMs: number; work(runner: Runner): Promise<T> },
): Promise<T> {
  const host = new SshHost({ name: ssh.name, route: () => [vmSettings(ssh)], prompts: NO_QUESTIONS });
  const hosts: Pick<Hosts, 'get'> = { get: () => host };
  const clients = new RunnerClients({ hosts: hosts as Hosts, runnerFolder: folder, cache, settings, log: () => {} });
  try {
    return await work(await clients.open(host.id, { signal: AbortSignal.timeout(limitMs) }));
  } finally {
    clients.dispose();
    host.dispose();
  }
}
