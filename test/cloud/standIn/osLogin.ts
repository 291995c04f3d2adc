/**
 * OS Login as far as it is used: profiles of accounts, with SSH keys that end, and the name that an account has on VMs. What is
 * sent is held against the messages of its discovery document. VMs ask it who is let in.
 */
import { createHash } from 'node:crypto';
import type { StandInClock } from './clock';
import { GoogleError, info, invalid, notFound } from './faults';

interface Key {
  key: string;
  fingerprint: string;
  expirationTimeUsec?: string;
}

/** Of `SshPublicKey`; the others are the server's to say. */
const FIELDS = { key: 'string', expirationTimeUsec: 'int64' } as const;

export class OsLoginStandIn {
  readonly #profiles = new Map<string, Map<string, Key>>();
  /** The API is switched on in its projects. */
  hasApi = true;
  /** What an account is called on VMs: here one that this machine has. */
  posixName = 'root';
  /** Accounts without `roles/compute.osLogin`. */
  readonly lacksRole = new Set<string>();
  /** Projects that these credentials may not be counted on. */
  readonly deniesQuota = new Set<string>();

  constructor(
    private readonly clock: StandInClock,
    private readonly changed: () => Promise<unknown>,
  ) {}

  /** Keys of an account that have not ended. */
  keysOf(account: string): string[] {
    const now = this.clock.now() * 1000;
    const keys = [...(this.#profiles.get(account)?.values() ?? [])];
    return keys.filter(({ expirationTimeUsec: end }) => end === undefined || Number(end) > now).map(({ key }) => key);
  }

  /** What a VM's sshd is told: all keys of all who may log in. */
  allowed(): string[] {
    return [...this.#profiles.keys()]
      .filter((account) => !this.lacksRole.has(account))
      .flatMap((of) => this.keysOf(of));
  }

  /** undefined: this is none of its addresses. */
  async answer(
    request: { method: string; path: string; query: URLSearchParams; body: unknown; quotaProject: string | undefined },
    caller: string,
  ): Promise<unknown> {
    const { method, path, query, body, quotaProject } = request;
    if (method === 'GET' && path === '/v1/userinfo') return { sub: '1', email: caller, email_verified: true };
    const found = /^\/v1\/users\/([^/:]+)(?::(importSshPublicKey)|\/sshPublicKeys\/([0-9a-f]{64}))$/.exec(path);
    if (!found) return undefined;
    const [account = '', action, fingerprint = ''] = found.slice(1).map((part) => part && decodeURIComponent(part));
    if (quotaProject !== undefined && this.deniesQuota.has(quotaProject)) {
      const reason = info('USER_PROJECT_DENIED', 'googleapis.com', { consumer: `projects/${quotaProject}` });
      throw new GoogleError(
        403,
        'forbidden',
        `Caller does not have required permission to use project ${quotaProject}.`,
        [reason],
      );
    }
    if (!this.hasApi) {
      const reason = info('SERVICE_DISABLED', 'googleapis.com', { service: 'oslogin.googleapis.com' });
      throw new GoogleError(403, 'accessNotConfigured', 'Cloud OS Login API has not been used or it is disabled.', [
        reason,
      ]);
    }
    if (account !== caller) throw new GoogleError(403, 'forbidden', 'The caller does not have permission');
    const keys = this.#profiles.get(account) ?? new Map<string, Key>();
    this.#profiles.set(account, keys);
    if (action === 'importSshPublicKey' && method === 'POST') {
      this.#only(query, ['projectId', 'regions']);
      const sent = this.#key(body);
      keys.set(sent.fingerprint, { ...keys.get(sent.fingerprint), ...sent });
      await this.changed();
      return { loginProfile: this.#profile(account, query.get('projectId')) };
    }
    const known = keys.get(fingerprint);
    if (!known) throw notFound(`users/${account}/sshPublicKeys/${fingerprint}`);
    if (method === 'DELETE') {
      if (body !== undefined) throw invalid('This method takes no body.');
      keys.delete(fingerprint);
      await this.changed();
      return {};
    }
    if (method !== 'PATCH') return undefined;
    this.#only(query, ['updateMask']);
    if (query.get('updateMask') !== 'expirationTimeUsec') throw invalid('Invalid update mask.');
    known.expirationTimeUsec = this.#key(body).expirationTimeUsec!;
    await this.changed();
    return known;
  }

  #only(query: URLSearchParams, names: string[]): void {
    for (const name of query.keys())
      if (!names.includes(name)) throw invalid(`Unknown name "${name}": Cannot bind query parameter.`);
  }

  #key(body: unknown): Key {
    if (typeof body !== 'object' || body === null || Array.isArray(body)) throw invalid('An SSH key is expected.');
    for (const [name, value] of Object.entries(body)) {
      if (!Object.hasOwn(FIELDS, name))
        throw invalid(`Invalid JSON payload received. Unknown name "${name}": Cannot find field.`);
      if (typeof value !== 'string')
        throw invalid(`Invalid value at '${name}' (TYPE_STRING), ${JSON.stringify(value)}`);
    }
    const { key = '', expirationTimeUsec } = body as Partial<Key>;
    if (!/^(ssh-ed25519|ssh-rsa|ecdsa-sha2-\S+) [A-Za-z0-9+/]+=*( \S.*)?$/.test(key))
      throw invalid('The key is not a valid SSH key.');
    if (expirationTimeUsec !== undefined && !/^\d{16}$/.test(expirationTimeUsec))
      throw invalid(`Invalid value at 'expirationTimeUsec' (TYPE_INT64), "${expirationTimeUsec}"`);
    const fingerprint = createHash('sha256').update(key).digest('hex');
    return { key, fingerprint, ...(expirationTimeUsec !== undefined && { expirationTimeUsec }) };
  }

  #profile(account: string, project: string | null): object {
    const keys = [...this.#profiles.get(account)!.values()];
    const named = keys.map((key) => [
      key.fingerprint,
      { ...key, name: `users/${account}/sshPublicKeys/${key.fingerprint}` },
    ]);
    const linux = { operatingSystemType: 'LINUX', uid: '1001', gid: '1001', shell: '/bin/bash' };
    return {
      name: '104',
      posixAccounts: [
        { ...linux, primary: true, username: 'of_another_project', accountId: 'another-project' },
        { ...linux, operatingSystemType: 'WINDOWS', username: 'of_windows', accountId: project },
        { ...linux, username: this.posixName, accountId: project, homeDirectory: `/home/${this.posixName}` },
      ],
      sshPublicKeys: Object.fromEntries(named),
    };
  }
}
