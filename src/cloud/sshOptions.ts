/** How the system's own ssh and scp are told to reach a VM. */
import type { VmSsh } from '@protocol/cloud';

/** Nothing of the person's own configuration gets in the way, and no key but the VM's is offered. */
export function sshOptions({ identityFile, knownHostsFile, proxyCommand }: VmSsh): string[] {
  const quoted = proxyCommand?.map((word) => `'${word.replaceAll("'", `'\\''`).replaceAll('%', '%%')}'`).join(' ');
  const options = [
    `IdentityFile=${identityFile}`,
    'IdentitiesOnly=yes',
    'IdentityAgent=none',
    `UserKnownHostsFile=${knownHostsFile}`,
    'GlobalKnownHostsFile=/dev/null',
    'StrictHostKeyChecking=yes',
    'LogLevel=ERROR',
    ...(quoted ? [`ProxyCommand=${quoted}`] : []),
  ];
  return ['-F', '/dev/null', ...options.flatMap((option) => ['-o', option])];
}
