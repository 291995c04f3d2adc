/** A host as a person types it. */
import { TuneyardError } from '@protocol/errors';
import * as l10n from '@vscode/l10n';
import type { AddedHost } from './hosts';

type Found = Omit<AddedHost, 'name' | 'hostName'> & { hostName?: string };

/** ssh's options that take a value (ssh(1)). */
const WITH_VALUE = 'BbcDEeFIiJLlmOoPpQRSWw';

/**
 * Reads `user@host:port`, or an ssh command as machine providers give it: `ssh -p 2222 -i ~/.ssh/key user@host -L 1:b:2`.
 * What is of no use to us (forwarded ports, a command to run) is passed over.
 * @throws TuneyardError `usage`
 */
export function parseSshWords(text: string): AddedHost {
  const words = [...text.trim().matchAll(/"([^"]*)"|'([^']*)'|(\S+)/g)].map(([, a, b, c]) => a ?? b ?? c ?? '');
  if (words[0] === 'ssh') words.shift();
  let address: string | undefined;
  const found: Found = {};
  while (words.length > 0) {
    const word = words.shift()!;
    if (!word.startsWith('-')) {
      // What comes behind the address is a command, or more options.
      address ??= word;
      continue;
    }
    // `-fNL 1:b:2`: letters together, the last of which may take a value.
    const at = [...word].findIndex((letter, i) => i > 0 && WITH_VALUE.includes(letter));
    if (at < 0) continue;
    const value = word.slice(at + 1) || words.shift();
    if (value === undefined) throw new TuneyardError('usage', l10n.t('{0} has no value.', word));
    takeOption(found, word[at]!, value);
  }
  const { hostName, ...rest } = found;
  const host = { ...addressOf(address ?? ''), ...rest };
  return { ...host, name: host.hostName, ...(hostName !== undefined && { hostName }) };
}

/** `hpc-7`, `me@hpc-7`, `hpc-7:2222`, …: the first that is not taken. */
export function freeName({ name, user, port }: AddedHost, taken: (name: string) => boolean): string {
  const candidates = [
    name,
    ...(user === undefined ? [] : [`${user}@${name}`]),
    ...(port === undefined ? [] : [`${name}:${port}`]),
    ...(user === undefined || port === undefined ? [] : [`${user}@${name}:${port}`]),
  ];
  for (let i = 2; candidates.every(taken); i++) candidates.push(`${name}-${i}`);
  return candidates.find((candidate) => !taken(candidate))!;
}

function takeOption(found: Found, letter: string, value: string): void {
  switch (letter) {
    case 'p':
      found.port = portOf(value);
      break;
    case 'i':
      found.identityFile = value;
      break;
    case 'l':
      found.user = value;
      break;
    case 'J':
      throw noJumps();
    case 'o': {
      const [, key = '', setting = ''] = /^\s*(\w+)\s*[\s=]\s*(.*)$/.exec(value) ?? [];
      if (/^port$/i.test(key)) found.port = portOf(setting);
      if (/^user$/i.test(key)) found.user = setting;
      if (/^identityfile$/i.test(key)) found.identityFile = setting;
      if (/^hostname$/i.test(key)) found.hostName = setting;
      if (/^proxy(jump|command)$/i.test(key)) throw noJumps();
    }
  }
}

function noJumps(): TuneyardError {
  return new TuneyardError(
    'usage',
    l10n.t('A host behind another is to be written in the SSH config, with ProxyJump; it is then listed by itself.'),
  );
}

function addressOf(address: string): Omit<AddedHost, 'name'> {
  const plain = address.replace(/^ssh:\/\//, '').replace(/\/$/, '');
  const [, user, bracketed, rest] = /^(?:([^@]+)@)?(?:\[([^\]\s]+)\](?=:\d+$|$))?([^@\s[\]]*)$/.exec(plain) ?? [];
  // More than one colon without brackets: an IPv6 address, and no port.
  const isWhole = bracketed === undefined && (rest?.split(':').length ?? 0) > 2;
  const [, name = '', port] = isWhole ? [undefined, rest] : (/^([^:]*)(?::(\d+))?$/.exec(rest ?? '') ?? []);
  const hostName = bracketed ?? name;
  if (!hostName || rest === undefined) {
    throw new TuneyardError('usage', l10n.t('Give it as user@host, user@host:port, or as an ssh command.'));
  }
  return { hostName, ...(user !== undefined && { user }), ...(port !== undefined && { port: portOf(port) }) };
}

function portOf(text: string): number {
  const port = Number(text);
  if (Number.isInteger(port) && port > 0 && port < 65_536) return port;
  throw new TuneyardError('usage', l10n.t('"{0}" is no port.', text));
}
