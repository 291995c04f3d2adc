/** The `known_hosts` files, as sshd(8) describes them. No kept library reads them. */
import { createHash, createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { chmod, mkdir, open, readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { matchesList } from './patternList';

export interface KnownKey {
  file: string;
  line: number;
  /** `ssh-ed25519`, `ssh-rsa`, … */
  type: string;
  blob: Buffer;
  revoked: boolean;
}

/** The name that a host goes by in the files: the port belongs to it unless it is the usual one. */
export function knownName(host: string, port: number): string {
  return port === 22 ? host.toLowerCase() : `[${host.toLowerCase()}]:${port}`;
}

/** The lines about a name. Certificate authorities are left out: what they sign is not asked for. */
export async function keysOf(name: string, files: readonly string[]): Promise<KnownKey[]> {
  const found: KnownKey[] = [];
  for (const file of files) {
    const text = await readFile(file, 'utf8').catch(() => '');
    for (const [index, line] of text.split(/\r?\n/).entries()) {
      const entry = readLine(line);
      if (entry === undefined || entry.marker === '@cert-authority' || !entry.applies(name)) continue;
      found.push({ file, line: index + 1, type: entry.type, blob: entry.blob, revoked: entry.marker === '@revoked' });
    }
  }
  return found;
}

function readLine(line: string) {
  const words = line.trim().split(/\s+/);
  if (words[0] === '' || words[0]?.startsWith('#')) return undefined;
  const marker = words[0]?.startsWith('@') ? words.shift() : undefined;
  const [hosts, type, key] = words;
  if (hosts === undefined || type === undefined || key === undefined) return undefined;
  const blob = Buffer.from(key, 'base64');
  if (keyType(blob) !== type) return undefined;
  return { marker, type, blob, applies: (name: string) => hostsMatch(hosts, name) };
}

function hostsMatch(hosts: string, name: string): boolean {
  if (!hosts.startsWith('|')) return matchesList(hosts.toLowerCase().split(','), name);
  const [, version, salt, hash] = hosts.split('|');
  if (version !== '1' || salt === undefined || hash === undefined) return false;
  const [wanted, made] = [Buffer.from(hash, 'base64'), hmac(Buffer.from(salt, 'base64'), name)];
  return wanted.length === made.length && timingSafeEqual(wanted, made);
}

function hmac(salt: Buffer, name: string): Buffer {
  return createHmac('sha1', salt).update(name).digest();
}

/** What a public key in its wire form says it is. */
export function keyType(blob: Buffer): string | undefined {
  if (blob.length < 4) return undefined;
  const length = blob.readUInt32BE(0);
  return length <= blob.length - 4 ? blob.toString('latin1', 4, 4 + length) : undefined;
}

/** `SHA256:…`, as ssh shows it. */
export function fingerprint(blob: Buffer): string {
  return `SHA256:${createHash('sha256').update(blob).digest('base64').replace(/=+$/, '')}`;
}

/** Adds a line. It is written in one piece; where that fails, the file is as it was. */
export async function remember(file: string, name: string, blob: Buffer, hashed: boolean): Promise<void> {
  await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  const handle = await open(file, 'a+', 0o600);
  try {
    const { size } = await handle.stat();
    if (size === 0) await chmod(file, 0o600);
    const last = Buffer.alloc(1);
    if (size > 0) await handle.read(last, 0, 1, size - 1);
    const broken = size > 0 && last[0] !== 0x0a;
    const line = Buffer.from(
      `${broken ? '\n' : ''}${hashed ? hashName(name) : name} ${keyType(blob)} ${blob.toString('base64')}\n`,
    );
    try {
      const { bytesWritten } = await handle.write(line);
      if (bytesWritten !== line.length) throw new Error('disk full');
    } catch (error) {
      await handle.truncate(size);
      throw error;
    }
    await handle.sync();
  } finally {
    await handle.close();
  }
}

function hashName(name: string): string {
  const salt = randomBytes(20);
  return `|1|${salt.toString('base64')}|${hmac(salt, name).toString('base64')}`;
}
