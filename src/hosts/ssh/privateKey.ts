/** A private key from its file: OpenSSH's own format, PEM and PKCS#8, with or without a passphrase. */
import { createPrivateKey, type KeyObject, sign as signWith } from 'node:crypto';
import type { ParsedKey, utils as Utils } from 'ssh2';

export interface PrivateKey {
  /** The public key in its wire form. */
  blob: Buffer;
  /** @param hash `sha256`, `sha512`; undefined: what the key's kind has */
  sign(data: Buffer, hash?: string): Buffer;
}

export class PassphraseNeeded extends Error {}
export class PassphraseWrong extends Error {}

type Parse = typeof Utils.parseKey;

/**
 * @throws PassphraseNeeded, PassphraseWrong
 * @throws Error where it is no private key that is understood
 */
export function readPrivateKey(parse: Parse, text: string, passphrase?: string): PrivateKey {
  return /-----BEGIN (ENCRYPTED )?PRIVATE KEY-----/.test(text)
    ? readPkcs8(parse, text, passphrase)
    : toPrivateKey(readClassic(parse, text, passphrase));
}

/** The public key that stands in front of a private one in OpenSSH's format, readable without the passphrase. */
export function publicPartOf(text: string): Buffer | undefined {
  const body = /-----BEGIN OPENSSH PRIVATE KEY-----([\s\S]+?)-----END/.exec(text)?.[1];
  if (body === undefined) return undefined;
  const data = Buffer.from(body, 'base64');
  // "openssh-key-v1\0", then the strings: cipher, kdf, kdf options; how many keys; the public key
  let at = 15;
  const next = () => {
    const length = data.readUInt32BE(at);
    at += 4 + length;
    return data.subarray(at - length, at);
  };
  try {
    for (let strings = 0; strings < 3; strings += 1) next();
    at += 4;
    return Buffer.from(next());
  } catch {
    return undefined;
  }
}

function readClassic(parse: Parse, text: string, passphrase: string | undefined): ParsedKey {
  const encrypted = /^(Proc-Type: 4,ENCRYPTED|Encryption: (?!none))/m.test(text);
  const key = parse(text, passphrase);
  if (!(key instanceof Error)) return key;
  if (/no passphrase given/.test(key.message)) throw new PassphraseNeeded();
  const opened = encrypted || cipherOf(text) !== 'none';
  // Decrypted with the wrong passphrase, a key may look like anything
  if (opened && passphrase !== undefined) throw new PassphraseWrong();
  throw key;
}

function cipherOf(text: string): string {
  const body = /-----BEGIN OPENSSH PRIVATE KEY-----([\s\S]+?)-----END/.exec(text)?.[1];
  if (body === undefined) return 'none';
  const data = Buffer.from(body, 'base64');
  return data.length < 19 ? 'none' : data.toString('latin1', 19, 19 + data.readUInt32BE(15));
}

function toPrivateKey(key: ParsedKey): PrivateKey {
  if (!key.isPrivateKey()) throw new Error('not a private key');
  return {
    blob: key.getPublicSSH(),
    sign: (data, hash) => {
      const signature: Buffer | Error = key.sign(data, hash);
      if (signature instanceof Error) throw signature;
      return signature;
    },
  };
}

/** ssh2 does not read PKCS#8; Node does. */
function readPkcs8(parse: Parse, text: string, passphrase: string | undefined): PrivateKey {
  const encrypted = text.includes('BEGIN ENCRYPTED PRIVATE KEY');
  if (encrypted && passphrase === undefined) throw new PassphraseNeeded();
  let key: KeyObject;
  try {
    key = createPrivateKey({ key: text, passphrase });
  } catch (error) {
    throw encrypted ? new PassphraseWrong() : error;
  }
  switch (key.asymmetricKeyType) {
    case 'rsa':
      return toPrivateKey(readClassic(parse, String(key.export({ type: 'pkcs1', format: 'pem' })), undefined));
    case 'ec':
      return toPrivateKey(readClassic(parse, String(key.export({ type: 'sec1', format: 'pem' })), undefined));
    case 'ed25519': {
      const point = Buffer.from(key.export({ format: 'jwk' }).x as string, 'base64url');
      const blob = Buffer.concat(['ssh-ed25519', point].map(lengthFirst));
      return { blob, sign: (data) => signWith(null, data, key) };
    }
    default:
      throw new Error(`keys of the kind ${key.asymmetricKeyType} are not supported`);
  }
}

function lengthFirst(text: string | Buffer): Buffer {
  const data = Buffer.from(text as string);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(data.length);
  return Buffer.concat([length, data]);
}
