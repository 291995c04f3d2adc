/** The SSH key that is made for one VM alone, and the host keys that the cloud says it has. */
import { mkdir, readFile } from 'node:fs/promises';
import { userInfo } from 'node:os';
import type { VmSsh } from '@protocol/cloud';
import { knownName } from '../hosts/ssh/knownHosts';
import { loadSsh2 } from '../hosts/ssh/ssh2';
import { replaceFile } from './durable';
import type { Ledger } from './ledger';
import { placeOf, type VmRecord } from './vmRecord';

/** After its VM is to be gone, a key that was left behind opens nothing. */
const EXPIRY_MARGIN_MS = 24 * 3600_000;

/** Makes the key where it is not there yet. Returns the public one: `ssh-ed25519 AAAA…`. */
export async function vmKey(ledger: Ledger, key: string): Promise<string> {
  const { folder, identity } = ledger.files(key);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const { utils } = await loadSsh2();
  const there = await readFile(identity, 'utf8').catch(() => undefined);
  const known = there === undefined ? undefined : utils.parseKey(there);
  if (known !== undefined && !(known instanceof Error)) return publicText(known.getPublicSSH());
  const made = utils.generateKeyPairSync('ed25519', { comment: `tuneyard-${key}` });
  await replaceFile(identity, made.private);
  await replaceFile(`${identity}.pub`, `${made.public}\n`);
  return made.public.split(' ').slice(0, 2).join(' ');
}

const publicText = (blob: Buffer): string => `ssh-ed25519 ${blob.toString('base64')}`;

/** When the key of a VM that ends then opens nothing any more. */
export const keyExpiry = (end: number): number => end + EXPIRY_MARGIN_MS;

/** The metadata item `ssh-keys`, with Google's way to say when a key expires. */
export function sshKeysItem(user: string, publicKey: string, end: number): string {
  const expireOn = new Date(keyExpiry(end)).toISOString().replace(/\.\d+Z$/, '+0000');
  return `${user}:${publicKey} google-ssh ${JSON.stringify({ userName: user, expireOn })}`;
}

/** What the guest says of its host keys, as guest attributes (`hostkeys/TYPE`) or between two marks on the serial port. */
export function hostKeysFrom(attributes: Record<string, string>, serial = ''): string[] {
  const keys = Object.entries(attributes).map(([name, value]) => {
    const type = name.split('/').at(-1) ?? '';
    return value.trim().startsWith(type) ? value.trim() : `${type} ${value.trim()}`;
  });
  if (keys.length === 0) {
    const block = serial.split('-----BEGIN SSH HOST KEY KEYS-----').at(-1)?.split('-----END SSH HOST KEY KEYS-----');
    if (block && block.length > 1) {
      // The console puts a time or a program's name before its lines
      for (const [found] of (block[0] ?? '').matchAll(/(?:ssh-|ecdsa-sha2-)\S+ [A-Za-z0-9+/]+=*/g)) keys.push(found);
    }
  }
  return keys
    .map((key) => key.split(/\s+/).slice(0, 2).join(' '))
    .filter((key) => /^(ssh|ecdsa)-\S+ [A-Za-z0-9+/]{40,}=*$/.test(key));
}

export async function writeKnownHosts(ledger: Ledger, record: VmRecord, port: number, keys: string[]): Promise<void> {
  const names = [record.address && knownName(record.address, port), record.name].filter((name) => name);
  const lines = keys.map((key) => `${names.join(',')} ${key}\n`);
  await replaceFile(ledger.files(record.key).knownHosts, lines.join(''));
}

/** The command whose streams are the connection to a VM without an address. */
export type TunnelCommand = (place: { project: string; zone: string; name: string }, port: number) => string[];

/** undefined before it has an address. */
export function sshOf(
  ledger: Ledger,
  record: VmRecord,
  options: { port?: number; tunnel?: TunnelCommand } = {},
): VmSsh | undefined {
  const isTunnelled = record.create.address === 'iap';
  if (!record.address || (isTunnelled && !options.tunnel)) return undefined;
  const { identity, knownHosts } = ledger.files(record.key);
  const port = options.port ?? DEFAULT_PORT;
  return {
    name: record.name,
    hostName: record.address,
    port,
    user: record.user,
    identityFile: identity,
    knownHostsFile: knownHosts,
    ...(isTunnelled && options.tunnel && { proxyCommand: options.tunnel(placeOf(record), port) }),
  };
}

const DEFAULT_PORT = 22;

/** The account on a VM that goes by this user's name, as `gcloud compute ssh` has it; never root, who may not log in there. */
export function accountName(): string {
  let name = '';
  try {
    name = userInfo().username;
  } catch {
    // An id without a name, as containers have them
  }
  const account = name
    .toLowerCase()
    .replace(/[^a-z0-9_-]+/g, '_')
    .replace(/^[^a-z_]+/, '')
    .slice(0, 32);
  return account === '' || account === 'root' ? 'tuneyard' : account;
}
