/**
 * OS Login: where a project uses it, a VM lets in who has a key in the login profile of a Google account, under the name that
 * the profile gives. The interface is four requests and Google's library for it is as large as the whole extension, so it is
 * spoken to directly. Source: the discovery document of oslogin.googleapis.com, version v1.
 */
import { TuneyardError } from '@protocol/errors';
import * as l10n from '@vscode/l10n';
import type { Login, LoginKey } from '../provider';
import type { Api } from './api';
import { LOGIN } from './credentials';
import type { Doing } from './errors';

interface PosixAccount {
  primary?: boolean;
  username?: string;
  accountId?: string;
  operatingSystemType?: string;
}

interface LoginProfile {
  posixAccounts?: PosixAccount[];
  sshPublicKeys?: Record<string, { key?: string; fingerprint?: string; name?: string }>;
}

const OS_LOGIN = 'https://oslogin.googleapis.com';
const USER_INFO = 'https://openidconnect.googleapis.com';

interface Sent {
  method: 'GET' | 'POST' | 'PATCH' | 'DELETE';
  path: string;
  body?: object;
}

/** @param endpoint in place of Google's */
export function osLogin(api: Api, endpoint?: string) {
  const send = <Answer>(base: string, doing: Doing, { method, path, body }: Sent, signal?: AbortSignal) =>
    api.call(
      doing,
      async (_, limits, token): Promise<Answer> => {
        const ask = (headers: Record<string, string>) =>
          fetch(`${endpoint?.replace(/\/$/, '') ?? base}${path}`, {
            method,
            headers: {
              authorization: `Bearer ${token}`,
              ...(body && { 'content-type': 'application/json' }),
              ...headers,
            },
            ...(body && { body: JSON.stringify(body) }),
            ...(limits.signal && { signal: limits.signal }),
          });
        // A person's credentials need a project to be counted on; not everybody may count on this one.
        let response = await ask({ 'x-goog-user-project': doing.project });
        let data = await response.text();
        if (response.status === 403 && data.includes('USER_PROJECT_DENIED')) {
          response = await ask({});
          data = await response.text();
        }
        if (!response.ok)
          throw Object.assign(new Error(response.statusText), { response: { status: response.status, data } });
        return JSON.parse(data || '{}') as Answer;
      },
      { signal },
    );
  const at = (project: string): Doing => ({ project, service: 'oslogin.googleapis.com' });

  /** Whose profile it is. @throws `cloud_credentials` where nobody knows */
  async function account(project: string, signal?: AbortSignal): Promise<string> {
    const known = (await api.identity()).account;
    if (known) return known;
    const asked = { method: 'GET', path: '/v1/userinfo' } as const;
    const found = await send<{ email?: string }>(USER_INFO, at(project), asked, signal).catch((error: unknown) => {
      if (error instanceof TuneyardError && ['cancelled', 'timed_out'].includes(error.code)) throw error;
      return undefined;
    });
    if (found?.email) return found.email;
    const sentence = l10n.t(
      'Project {0} uses OS Login, and these credentials do not say whose they are: run "{1}" and let it see your address.',
      project,
      LOGIN,
    );
    throw new TuneyardError('cloud_credentials', sentence, { data: { reason: 'account', command: LOGIN } });
  }

  return {
    /**
     * Puts a key into the profile; twice is once.
     *
     * @param until when it ends to open anything: milliseconds since 1970
     */
    async importKey(project: string, publicKey: string, until: number, signal?: AbortSignal): Promise<Login> {
      const email = await account(project, signal);
      const path = `/v1/users/${encodeURIComponent(email)}:importSshPublicKey?projectId=${encodeURIComponent(project)}`;
      const body = { key: publicKey, expirationTimeUsec: usec(until) };
      const sent = { method: 'POST', path, body } as const;
      const { loginProfile } = await send<{ loginProfile?: LoginProfile }>(OS_LOGIN, at(project), sent, signal);
      const user = accountIn(loginProfile, project);
      const fingerprint = fingerprintIn(loginProfile, publicKey);
      if (!user || !fingerprint) {
        const sentence = l10n.t(
          'OS Login has no account on Linux for {0} in project {1}: ask the administrator of the organization.',
          email,
          project,
        );
        throw new TuneyardError('cloud_permission', sentence, { data: { reason: 'os_login', account: email } });
      }
      return { user, account: email, fingerprint };
    },

    async renewKey(
      project: string,
      { account, fingerprint }: LoginKey,
      publicKey: string,
      until: number,
      signal?: AbortSignal,
    ): Promise<void> {
      const path = `/v1/users/${encodeURIComponent(account)}/sshPublicKeys/${fingerprint}?updateMask=expirationTimeUsec`;
      const body = { key: publicKey, expirationTimeUsec: usec(until) };
      await send(OS_LOGIN, at(project), { method: 'PATCH', path, body }, signal);
    },

    /** Resolves when it is gone, or was not there. */
    async deleteKey(project: string, { account, fingerprint }: LoginKey, signal?: AbortSignal): Promise<void> {
      const path = `/v1/users/${encodeURIComponent(account)}/sshPublicKeys/${fingerprint}`;
      try {
        await send(OS_LOGIN, at(project), { method: 'DELETE', path }, signal);
      } catch (error) {
        if (!(error instanceof TuneyardError && error.data.http === 404)) throw error;
      }
    },
  };
}

const usec = (milliseconds: number): string => `${Math.ceil(milliseconds)}000`;

/** The account that VMs of this project know; that of the whole organization is the primary one. */
function accountIn(profile: LoginProfile | undefined, project: string): string | undefined {
  const accounts = (profile?.posixAccounts ?? []).filter(({ operatingSystemType = 'LINUX' }) =>
    /LINUX|UNSPECIFIED/.test(operatingSystemType),
  );
  const ofProject = accounts.find(({ accountId }) => accountId === project);
  return (ofProject ?? accounts.find(({ primary }) => primary) ?? accounts[0])?.username;
}

function fingerprintIn(profile: LoginProfile | undefined, publicKey: string): string | undefined {
  const words = (key: string | undefined) => key?.trim().split(/\s+/).slice(0, 2).join(' ');
  const entries = Object.entries(profile?.sshPublicKeys ?? {});
  const found = entries.find(([, { key }]) => words(key) === words(publicKey));
  return found && (found[1].fingerprint ?? found[0]);
}
