/** known_hosts files (sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT"): which keys a host is known by. */
import { createHash, createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { appendFile, chmod, mkdir, open, readFile } from 'node:fs/promises';
import { dirname } from 'node:path';

/** How a host is written there: with its port where that is not 22. */
export const knownName = (host: string, port: number): string => (port === 22 ? host : `[${host}]:${port}`);

export type HostKeyVerdict =
  | { kind: 'known' }
  | { kind: 'unknown' }
  /** Another key of the same kind, or only other kinds, are known. */
  | { kind: 'changed'; file: string; line: number; fingerprint: string }
  | { kind: 'revoked'; file: string; line: number };

interface KnownKey {
  file: string;
  line: number;
  patterns: string[];
  marker: string | undefined;
  type: string;
  key: Buffer;
}

export class KnownHosts {
  private constructor(private readonly keys: readonly KnownKey[]) {}

  /** Files that are missing are empty; lines that mean nothing are passed over, as ssh does. */
  static async read(files: readonly string[]): Promise<KnownHosts> {
    const keys: KnownKey[] = [];
    for (const file of files) {
      const text = await readFile(file, 'utf8').catch(() => '');
      for (const [i, line] of text.split(/\r?\n/).entries()) {
        const key = parseLine(line);
        if (key) keys.push({ ...key, file, line: i + 1 });
      }
    }
    return new KnownHosts(keys);
  }

  /** @param key as the server sent it: the key's wire form (RFC 4253, 6.6) */
  check(name: string, key: Buffer): HostKeyVerdict {
    const own = this.#of(name);
    const revoked = this.keys.find((known) => known.marker === '@revoked' && known.key.equals(key));
    if (revoked) return { kind: 'revoked', file: revoked.file, line: revoked.line };
    const trusted = own.filter(({ marker }) => marker === undefined);
    if (trusted.some((known) => known.key.equals(key))) return { kind: 'known' };
    const type = keyType(key);
    const other = trusted.find((known) => known.type === type) ?? trusted[0];
    if (!other) return { kind: 'unknown' };
    return { kind: 'changed', file: other.file, line: other.line, fingerprint: fingerprint(other.key) };
  }

  /** Kinds of the keys that a host is known by: to be asked for first, or a new kind would look like a new key. */
  typesOf(name: string): string[] {
    const found = this.#of(name).filter(({ marker }) => marker === undefined);
    return [...new Set(found.map(({ type }) => type))];
  }

  #of(name: string): KnownKey[] {
    return this.keys.filter(({ patterns }) => matches(patterns, name));
  }
}

/** As ssh shows it: `SHA256:` and base64 without padding. */
export function fingerprint(key: Buffer): string {
  return `SHA256:${createHash('sha256').update(key).digest('base64').replace(/=+$/, '')}`;
}

/** `ssh-ed25519` and the like: the first string of a key's wire form. */
export function keyType(key: Buffer): string {
  return key.length < 4 ? '' : key.toString('latin1', 4, 4 + key.readUInt32BE(0));
}

/** Adds a key to a person's file, which is made with its folder where there is none. */
export async function rememberHostKey(file: string, name: string, key: Buffer, hashed: boolean): Promise<void> {
  await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  const line = `${hashed ? hashName(name) : name} ${keyType(key)} ${key.toString('base64')}\n`;
  // A last line without its newline would swallow this one. One write, so that it is there as a whole.
  await appendFile(file, (await endsInLine(file)) ? `\n${line}` : line, { mode: 0o600 });
  await chmod(file, 0o600);
}

async function endsInLine(path: string): Promise<boolean> {
  const file = await open(path).catch(() => undefined);
  if (!file) return false;
  try {
    const { size } = await file.stat();
    if (size === 0) return false;
    const { buffer } = await file.read(Buffer.alloc(1), 0, 1, size - 1);
    return buffer[0] !== 0x0a;
  } finally {
    await file.close();
  }
}

function parseLine(line: string): Omit<KnownKey, 'file' | 'line'> | undefined {
  const words = line.trim().split(/\s+/);
  if (words[0] === '' || words[0]?.startsWith('#')) return undefined;
  const marker = words[0]?.startsWith('@') ? words.shift() : undefined;
  const [names, type, base64] = words;
  if (names === undefined || type === undefined || base64 === undefined) return undefined;
  const key = Buffer.from(base64, 'base64');
  return keyType(key) === type ? { patterns: names.split(','), marker, type, key } : undefined;
}

function matches(patterns: readonly string[], name: string): boolean {
  let found = false;
  for (const pattern of patterns) {
    if (pattern.startsWith('!')) {
      if (matchesOne(pattern.slice(1), name)) return false;
    } else found ||= matchesOne(pattern, name);
  }
  return found;
}

function matchesOne(pattern: string, name: string): boolean {
  if (pattern.startsWith('|1|')) {
    const [, , salt = '', hash = ''] = pattern.split('|');
    const wanted = Buffer.from(hash, 'base64');
    const actual = hmac(name, Buffer.from(salt, 'base64'));
    return wanted.length === actual.length && timingSafeEqual(wanted, actual);
  }
  const expression = [...pattern.toLowerCase()].map((c) =>
    c === '*' ? '.*' : c === '?' ? '.' : c.replace(/[\\^$.|+()[\]{}]/, '\\$&'),
  );
  return new RegExp(`^${expression.join('')}$`).test(name.toLowerCase());
}

function hashName(name: string): string {
  const salt = randomBytes(20);
  return `|1|${salt.toString('base64')}|${hmac(name, salt).toString('base64')}`;
}

const hmac = (name: string, salt: Buffer): Buffer => createHmac('sha1', salt).update(name).digest();
