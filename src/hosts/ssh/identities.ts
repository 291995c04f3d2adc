/** The keys to log in with, those of the agent and those in files, in the order in which ssh tries them. */
import { readFile } from 'node:fs/promises';
import * as l10n from '@vscode/l10n';
import type { BaseAgent, IdentityCallback, ParsedKey, SignCallback, SigningRequestOptions } from 'ssh2';
import type { HostPrompts } from '../host';
import { cancelled } from '../limits';
import { PassphraseNeeded, PassphraseWrong, type PrivateKey, publicPartOf, readPrivateKey } from './privateKey';
import type { Secrets } from './secrets';
import type { Ssh2 } from './ssh2';
import type { SshSettings } from './sshSettings';

const ATTEMPTS = 3;

export interface Identity {
  /** What a person knows it by: its file, or what the agent says of it. */
  name: string;
  /** The public key in its wire form; unknown before the passphrase of some old key files is. */
  blob: Buffer | undefined;
  /** Asks for the passphrase where one is needed. @throws TuneyardError `cancelled` where the person went away */
  sign(data: Buffer, hash: string | undefined): Promise<Buffer>;
  /** Makes `blob` known. */
  open?(): Promise<Buffer>;
}

export interface Ask {
  settings: SshSettings;
  prompts: HostPrompts;
  secrets: Secrets;
}

/** First the agent's keys that the configuration names, then the agent's others, then those only files have. */
export async function identitiesOf(ssh2: Ssh2, ask: Ask): Promise<Identity[]> {
  const { settings } = ask;
  const files = (await Promise.all(settings.identityFiles.map((file) => fromFile(ssh2, file, ask)))).filter(
    (each) => each !== undefined,
  );
  const agent = await fromAgent(ssh2, settings.agent);
  const same = (a: Identity, b: Identity) => a.blob !== undefined && b.blob !== undefined && a.blob.equals(b.blob);
  const held = files.flatMap((file) => agent.find((each) => same(each, file)) ?? []);
  const others = settings.identitiesOnly ? [] : agent.filter((each) => !held.includes(each));
  const rest = files.filter((file) => file.hasPrivate && !held.some((each) => same(each, file)));
  return [...held, ...others, ...rest];
}

type FileIdentity = Identity & { hasPrivate: boolean };

async function fromFile(ssh2: Ssh2, file: string, ask: Ask): Promise<FileIdentity | undefined> {
  const text = await readFile(file, 'utf8').catch(() => undefined);
  // A public key alone says which of the agent's keys is meant
  const open = text === undefined ? undefined : opener(ssh2, file, text, ask);
  const blob =
    (text && publicPartOf(text)) || (await publicKeyBeside(ssh2, file)) || (open && (await openSilently(open)));
  if (open === undefined)
    return blob && { name: file, blob, hasPrivate: false, sign: () => Promise.reject(new Error()) };
  const identity: FileIdentity = {
    name: file,
    blob: blob || undefined,
    hasPrivate: true,
    sign: async (data, hash) => (await open(true)).sign(data, hash),
    open: async () => {
      identity.blob = (await open(true)).blob;
      return identity.blob;
    },
  };
  return identity;
}

async function publicKeyBeside(ssh2: Ssh2, file: string): Promise<Buffer | undefined> {
  for (const name of [`${file}.pub`, file]) {
    const text = await readFile(name, 'utf8').catch(() => undefined);
    if (text === undefined || text.includes('PRIVATE KEY')) continue;
    const key = ssh2.utils.parseKey(text);
    if (!(key instanceof Error)) return key.getPublicSSH();
  }
  return undefined;
}

async function openSilently(open: (asking: boolean) => Promise<PrivateKey>): Promise<Buffer | undefined> {
  return open(false).then(
    ({ blob }) => blob,
    () => undefined,
  );
}

/** Opens a key file, once; a passphrase that fitted is remembered as long as the window lives. */
function opener(ssh2: Ssh2, file: string, text: string, { settings, prompts, secrets }: Ask) {
  let opened: PrivateKey | undefined;
  return async (asking: boolean): Promise<PrivateKey> => {
    if (opened) return opened;
    let passphrase = secrets.passphrases.get(file);
    for (let attempt = 0; ; attempt += 1) {
      try {
        opened = readPrivateKey(ssh2.utils.parseKey, text, passphrase);
        if (passphrase !== undefined) secrets.passphrases.set(file, passphrase);
        return opened;
      } catch (error) {
        const locked = error instanceof PassphraseNeeded || error instanceof PassphraseWrong;
        if (!locked || !asking || attempt >= ATTEMPTS) throw error;
      }
      secrets.passphrases.delete(file);
      passphrase = await prompts.passphrase({ host: settings.alias, keyFile: file, retry: attempt > 0 });
      if (passphrase === undefined) throw cancelled();
    }
  };
}

async function fromAgent(ssh2: Ssh2, socket: string | undefined): Promise<Identity[]> {
  if (socket === undefined) return [];
  const agent = ssh2.createAgent(socket);
  const keys = await new Promise<ParsedKey[]>((resolve) => {
    // An agent that is not there has no keys
    agent.getIdentities((error, found) => resolve(error ? [] : ((found ?? []) as ParsedKey[])));
  });
  return keys.map((key) => ({
    name: l10n.t('agent: {0}', key.comment || key.type),
    blob: key.getPublicSSH(),
    sign: (data, hash) =>
      new Promise((resolve, reject) => {
        const options = { hash } as SigningRequestOptions;
        agent.sign(key as never, data, options, (error, signature) => {
          if (error || !signature) reject(error ?? new Error('The agent did not sign'));
          else resolve(signature as Buffer);
        });
      }),
  }));
}

/**
 * Hands some identities to ssh2 as the keys of an agent: so each is offered first, and opened, with its passphrase,
 * only where the server takes it.
 */
export function asAgent(
  ssh2: Ssh2,
  identities: readonly Identity[],
  onSign: (identity: Identity) => void,
  onError: (error: unknown) => void,
): BaseAgent<Buffer> {
  class Identities extends ssh2.BaseAgent<Buffer> {
    override getIdentities(callback: IdentityCallback<Buffer>): void {
      callback(
        undefined,
        identities.flatMap(({ blob }) => blob ?? []),
      );
    }
    override sign(
      key: Buffer,
      data: Buffer,
      options: SigningRequestOptions | SignCallback,
      callback?: SignCallback,
    ): void {
      const answer = typeof options === 'function' ? options : (callback as SignCallback);
      const hash = typeof options === 'function' ? undefined : (options as { hash?: string }).hash;
      const wanted = (key as unknown as ParsedKey).getPublicSSH();
      const identity = identities.find(({ blob }) => blob?.equals(wanted));
      if (identity === undefined) {
        answer(new Error('no such key'));
        return;
      }
      onSign(identity);
      identity.sign(data, hash).then(
        (signature) => answer(undefined, signature),
        (error) => {
          onError(error);
          answer(new Error('not signed'));
        },
      );
    }
  }
  return new Identities();
}
