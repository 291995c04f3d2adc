/** A host as a person types it. */
import { TuneyardError } from '@protocol/errors';
import * as l10n from '@vscode/l10n';
import type { AddedHost } from './hosts';

/**
 * Reads `user@host:port`, or an ssh command as machine providers give it: `ssh -p 2222 -i ~/.ssh/key user@host`.
 * @throws TuneyardError `usage`
 */
export function parseSshWords(text: string): AddedHost {
  const words = [...text.trim().matchAll(/"([^"]*)"|'([^']*)'|(\S+)/g)].map(([, a, b, c]) => a ?? b ?? c ?? '');
  if (words[0] === 'ssh') words.shift();
  let address: string | undefined;
  const host: Omit<AddedHost, 'name' | 'hostName'> = {};
  for (let i = 0; i < words.length; i++) {
    const word = words[i]!;
    const option = /^-([pil])(.*)$/.exec(word);
    if (option) {
      const value = option[2] || words[++i];
      if (value === undefined) throw new TuneyardError('usage', l10n.t('{0} has no value.', word));
      if (option[1] === 'p') host.port = portOf(value);
      if (option[1] === 'i') host.identityFile = value;
      if (option[1] === 'l') host.user = value;
    } else if (word === '-o') i++;
    else if (!word.startsWith('-')) address ??= word.replace(/^ssh:\/\//, '').replace(/\/$/, '');
  }
  const [, user, bracketed, plain, port] =
    /^(?:([^@]+)@)?(?:\[([^\]]+)\]|([^:@\s]+))(?::(\d+))?$/.exec(address ?? '') ?? [];
  const hostName = bracketed ?? plain;
  if (hostName === undefined) {
    throw new TuneyardError('usage', l10n.t('Give it as user@host, user@host:port, or as an ssh command.'));
  }
  if (user !== undefined) host.user = user;
  if (port !== undefined) host.port = portOf(port);
  return { name: hostName, hostName, ...host };
}

function portOf(text: string): number {
  const port = Number(text);
  if (Number.isInteger(port) && port > 0 && port < 65_536) return port;
  throw new TuneyardError('usage', l10n.t('"{0}" is no port.', text));
}
