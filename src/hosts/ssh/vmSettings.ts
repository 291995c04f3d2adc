/** How a VM is reached whose key and host keys are known: nothing of the SSH configuration, no agent, no question. */
import type { VmSsh } from '@protocol/cloud';
import type { SshSettings } from './sshSettings';

export function vmSettings({
  name,
  hostName,
  port,
  user,
  identityFile,
  knownHostsFile,
  proxyCommand,
}: VmSsh): SshSettings {
  return {
    alias: name,
    hostName,
    port,
    user,
    identityFiles: [identityFile],
    identitiesNamed: true,
    identitiesOnly: true,
    agent: undefined,
    authentications: ['publickey'],
    userKnownHosts: [knownHostsFile],
    globalKnownHosts: [],
    hostKeyAlias: undefined,
    strictHostKeyChecking: 'yes',
    hashKnownHosts: false,
    proxyCommand: proxyCommand?.map(quote).join(' '),
    aliveIntervalMs: 15_000,
    aliveCountMax: 3,
    connectTimeoutMs: 20_000,
    family: 0,
  };
}

/** For the shell that runs it: sh, or cmd.exe. */
function quote(word: string): string {
  if (process.platform === 'win32') return `"${word.replaceAll('"', '""')}"`;
  return `'${word.replaceAll("'", "'\\''")}'`;
}
