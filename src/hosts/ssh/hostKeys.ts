/** Whether a host is the one it says it is: its key against `known_hosts`, and what to do where it is not there. */
import { TuneyardError } from '@protocol/errors';
import * as l10n from '@vscode/l10n';
import type { HostPrompts } from '../host';
import { cancelled } from '../limits';
import { fingerprint, type KnownKey, keysOf, keyType, knownName, remember } from './knownHosts';
import type { SshSettings } from './sshSettings';

/** In the order they are asked for; a key's type, and the names that its signatures go by. */
const ALGORITHMS: [type: string, signatures: string[]][] = [
  ['ssh-ed25519', ['ssh-ed25519']],
  ['ecdsa-sha2-nistp256', ['ecdsa-sha2-nistp256']],
  ['ecdsa-sha2-nistp384', ['ecdsa-sha2-nistp384']],
  ['ecdsa-sha2-nistp521', ['ecdsa-sha2-nistp521']],
  ['ssh-rsa', ['rsa-sha2-512', 'rsa-sha2-256']],
];

/** One question at a time for a name: what one connection learns, the others that wait know too. */
const asking = new Map<string, Promise<void>>();

export class HostKeys {
  readonly #name: string;

  constructor(
    private readonly settings: SshSettings,
    private readonly prompts: HostPrompts,
  ) {
    const { hostKeyAlias, hostName, port } = settings;
    this.#name = hostKeyAlias === undefined ? knownName(hostName, port) : hostKeyAlias.toLowerCase();
  }

  /** What to ask the host for, keys that are known first: a host whose ed25519 key is known need not show its RSA key. */
  async algorithms(): Promise<string[]> {
    const known = await this.#known();
    const isKnown = (type: string) => known.some((each) => each.type === type && !each.revoked);
    const [first, then] = [ALGORITHMS.filter(([type]) => isKnown(type)), ALGORITHMS.filter(([type]) => !isKnown(type))];
    return [...first, ...then].flatMap(([, signatures]) => signatures);
  }

  /**
   * Returns where the host is to be trusted.
   * @throws TuneyardError `host_key_unknown`, `host_key_changed`, `host_key_revoked`; `cancelled` where the person went away
   */
  check(blob: Buffer): Promise<void> {
    const before = asking.get(this.#name) ?? Promise.resolve();
    const check = before.then(() => this.#check(blob));
    const settled = check.catch(() => {});
    asking.set(this.#name, settled);
    settled.then(() => asking.get(this.#name) === settled && asking.delete(this.#name));
    return check;
  }

  async #check(blob: Buffer): Promise<void> {
    const known = await this.#known();
    const same = known.filter((each) => each.blob.equals(blob));
    const revoked = same.find((each) => each.revoked);
    if (revoked) throw this.#revoked(revoked, blob);
    if (same.length > 0) return;
    const other = this.#contradicting(known, blob);
    if (other) throw this.#changed(other, blob);
    await this.#trust(blob);
  }

  async #known(): Promise<KnownKey[]> {
    const { userKnownHosts, globalKnownHosts, hostKeyAlias, hostName, port } = this.settings;
    const files = [...userKnownHosts, ...globalKnownHosts];
    const known = await keysOf(this.#name, files);
    if (hostKeyAlias !== undefined || port === 22) return known;
    // As ssh does: a key that is known without the port will do where nothing is known with it; it contradicts nothing
    const without = (await keysOf(knownName(hostName, 22), files)).filter(
      ({ revoked }) => revoked || known.length === 0,
    );
    return [...known, ...without.map((each) => ({ ...each, weak: true }))];
  }

  /** A known key in whose place this one came. Kinds that we cannot ask for contradict nothing. */
  #contradicting(known: (KnownKey & { weak?: boolean })[], blob: Buffer): KnownKey | undefined {
    const strong = known.filter(({ revoked, weak, type }) => {
      return !revoked && !weak && ALGORITHMS.some(([algorithm]) => algorithm === type);
    });
    return strong.find(({ type }) => type === keyType(blob)) ?? strong[0];
  }

  async #trust(blob: Buffer): Promise<void> {
    const { strictHostKeyChecking, userKnownHosts, hashKnownHosts } = this.settings;
    const host = this.#shown();
    if (strictHostKeyChecking === 'yes') {
      throw new TuneyardError(
        'host_key_unknown',
        l10n.t(
          'The host key of {0} ({1}) is not in known_hosts, and StrictHostKeyChecking forbids to ask: add it there first.',
          host,
          fingerprint(blob),
        ),
        { data: { fingerprint: fingerprint(blob) } },
      );
    }
    if (strictHostKeyChecking === 'ask') {
      const algorithm = (keyType(blob) ?? '').replace(/^ssh-/, '').replace(/^ecdsa-.*/, 'ecdsa');
      const trusted = await this.prompts.trustHostKey({ host, algorithm, fingerprint: fingerprint(blob) });
      if (trusted === undefined) throw cancelled();
      if (!trusted) {
        throw new TuneyardError(
          'host_key_unknown',
          l10n.t('The host key of {0} is not trusted: not connected.', host),
          {
            data: { fingerprint: fingerprint(blob) },
          },
        );
      }
    }
    const [file] = userKnownHosts;
    if (file === undefined || file === '/dev/null') return;
    try {
      await remember(file, this.#name, blob, hashKnownHosts);
    } catch (error) {
      throw new TuneyardError(
        'not_writable',
        l10n.t('The host key of {0} cannot be remembered: {1}.', host, (error as Error).message),
        { place: { file }, cause: error },
      );
    }
  }

  #changed(known: KnownKey, blob: Buffer): TuneyardError {
    return new TuneyardError(
      'host_key_changed',
      l10n.t(
        'The host key of {0} is {1}, but {2} was known: somebody may be in between. If the host was set up anew, remove this line and connect again.',
        this.#shown(),
        `${keyType(blob)} ${fingerprint(blob)}`,
        `${known.type} ${fingerprint(known.blob)}`,
      ),
      {
        place: { file: known.file, line: known.line },
        data: { known: fingerprint(known.blob), offered: fingerprint(blob) },
      },
    );
  }

  #revoked(known: KnownKey, blob: Buffer): TuneyardError {
    return new TuneyardError(
      'host_key_revoked',
      l10n.t('The host key of {0} ({1}) is marked as revoked: not connected.', this.#shown(), fingerprint(blob)),
      { place: { file: known.file, line: known.line }, data: { offered: fingerprint(blob) } },
    );
  }

  #shown(): string {
    const { alias, hostName, port } = this.settings;
    const address = knownName(hostName, port);
    return alias === address ? alias : `${alias} (${address})`;
  }
}
