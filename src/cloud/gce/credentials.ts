/**
 * Whose credentials are used, found where Google's libraries find them: a key file that was chosen,
 * GOOGLE_APPLICATION_CREDENTIALS, application-default credentials, and on a VM of Google's its metadata server. They stay in
 * this process: no log and no error has any of them.
 */
import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import type { CloudIdentity } from '@protocol/cloud';
import { TuneyardError } from '@protocol/errors';
import * as l10n from '@vscode/l10n';
import type { AuthClient, GoogleAuth } from 'google-auth-library';
import { type GcloudConfig, gcloudConfig } from './gcloudConfig';

const SCOPES = ['https://www.googleapis.com/auth/cloud-platform'];
const GOOGLE_TOKEN_URL = 'https://oauth2.googleapis.com/token';
export const LOGIN = 'gcloud auth application-default login';
const CHOOSE_PROJECT = 'gcloud config set project PROJECT';

type Library = typeof import('./computeLibrary.mjs');

/** A file of credentials, as far as it is read here. */
interface KeyFile {
  type?: string;
  client_email?: string;
  private_key?: string;
  private_key_id?: string;
  client_id?: string;
  client_secret?: string;
  refresh_token?: string;
  project_id?: string;
  quota_project_id?: string;
  account?: string;
  token_uri?: string;
}

export interface Credentials {
  identity: CloudIdentity;
  /** What signs requests; asks for a token at the first one. */
  auth(library: Library): Promise<GoogleAuth>;
}

/** @throws `cloud_credentials` with the command that mends it */
export async function findCredentials(chosen: string | undefined, env: NodeJS.ProcessEnv): Promise<Credentials> {
  const gcloud = await gcloudConfig(env);
  const named = env.GOOGLE_APPLICATION_CREDENTIALS;
  const usual = join(gcloud.folder, 'application_default_credentials.json');
  if (chosen) return ofFile(expand(chosen), await readKeyFile(expand(chosen)), 'file', gcloud, env);
  if (named) return ofFile(named, await readKeyFile(named), 'GOOGLE_APPLICATION_CREDENTIALS', gcloud, env);
  const found = await readKeyFile(usual, true);
  if (found) return ofFile(usual, found, 'gcloud', gcloud, env);
  if (env.GCE_METADATA_HOST || (await onGoogleVm())) return ofMetadataServer(gcloud, env);
  const sentence = l10n.t(
    'No credentials for Google Cloud were found: run "{0}" in a terminal, then try again.',
    LOGIN,
  );
  throw new TuneyardError('cloud_credentials', sentence, { data: { reason: 'missing', command: LOGIN } });
}

/** @throws `cloud_credentials` */
export function projectMissing(): TuneyardError {
  const sentence = l10n.t('No Google Cloud project is chosen: run "{0}" with its ID, or name one.', CHOOSE_PROJECT);
  return new TuneyardError('cloud_credentials', sentence, { data: { reason: 'project', command: CHOOSE_PROJECT } });
}

function ofFile(
  path: string,
  key: KeyFile,
  source: 'file' | 'GOOGLE_APPLICATION_CREDENTIALS' | 'gcloud',
  gcloud: GcloudConfig,
  env: NodeJS.ProcessEnv,
): Credentials {
  const own = key.client_email ?? key.account;
  const account = own || (source === 'gcloud' ? gcloud.account : undefined);
  const project = projectOf(env, gcloud, key.project_id ?? key.quota_project_id);
  return {
    identity: {
      provider: 'gce',
      source: source === 'gcloud' ? l10n.t("gcloud's application-default credentials") : `${source} ${path}`,
      ...(account ? { account } : {}),
      ...(project ? { project } : {}),
    },
    async auth(library) {
      const transporter = new library.gaxios.Gaxios();
      transporter.interceptors.request.add({
        resolved: async (request) => {
          // The library asks Google's own address, whatever the file says.
          if (request.url.href === GOOGLE_TOKEN_URL && key.token_uri) request.url = new URL(key.token_uri);
          // Repeated by `call`, with everything else.
          return { ...request, retryConfig: { ...request.retryConfig, retry: 0, noResponseRetries: 0 } };
        },
      });
      return new library.GoogleAuth({ authClient: await clientOf(path, key, library, transporter), scopes: SCOPES });
    },
  };
}

async function clientOf(
  path: string,
  key: KeyFile,
  library: Library,
  transporter: InstanceType<Library['gaxios']['Gaxios']>,
): Promise<AuthClient> {
  if (key.type === 'authorized_user') {
    const { client_id, client_secret, refresh_token, quota_project_id } = key;
    if (!client_id || !client_secret || !refresh_token) throw unusable(path);
    return new library.UserRefreshClient({
      clientId: client_id,
      clientSecret: client_secret,
      refreshToken: refresh_token,
      transporter,
      ...(quota_project_id ? { quotaProjectId: quota_project_id } : {}),
    });
  }
  if (key.type === 'service_account') {
    if (!key.client_email || !key.private_key) throw unusable(path);
    return new library.JWT({
      email: key.client_email,
      key: key.private_key,
      ...(key.private_key_id ? { keyId: key.private_key_id } : {}),
      scopes: SCOPES,
      transporter,
    });
  }
  // Of other kinds (workload identity, impersonation) the library knows all.
  return new library.GoogleAuth({ keyFilename: path, scopes: SCOPES }).getClient();
}

function ofMetadataServer(gcloud: GcloudConfig, env: NodeJS.ProcessEnv): Credentials {
  const project = projectOf(env, gcloud, undefined);
  return {
    identity: {
      provider: 'gce',
      source: l10n.t('the service account of this VM'),
      ...(project ? { project } : {}),
    },
    auth: async (library) => new library.GoogleAuth({ authClient: new library.Compute(), scopes: SCOPES }),
  };
}

/** As Google's libraries look for it: the environment, gcloud's configuration, the key. */
function projectOf(env: NodeJS.ProcessEnv, gcloud: GcloudConfig, ofKey: string | undefined): string | undefined {
  return env.GOOGLE_CLOUD_PROJECT || env.GCLOUD_PROJECT || gcloud.project || ofKey;
}

async function readKeyFile(path: string): Promise<KeyFile>;
async function readKeyFile(path: string, optional: true): Promise<KeyFile | undefined>;
async function readKeyFile(path: string, optional = false): Promise<KeyFile | undefined> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (optional && (error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    const sentence = l10n.t('The file with credentials cannot be read: correct its path, or run "{0}".', LOGIN);
    throw new TuneyardError('cloud_credentials', sentence, {
      place: { file: path },
      data: { reason: 'unreadable', command: LOGIN },
    });
  }
  try {
    const key: unknown = JSON.parse(text);
    if (typeof key === 'object' && key !== null && typeof (key as KeyFile).type === 'string') return key as KeyFile;
  } catch {
    // A parser's message shows the text, and the text is a secret.
  }
  throw unusable(path);
}

function unusable(path: string): TuneyardError {
  const sentence = l10n.t('This file holds no credentials of Google Cloud: choose a key file, or run "{0}".', LOGIN);
  return new TuneyardError('cloud_credentials', sentence, {
    place: { file: path },
    data: { reason: 'unusable', command: LOGIN },
  });
}

const expand = (path: string): string => (path.startsWith('~/') ? join(homedir(), path.slice(2)) : path);

/** As Google's libraries tell it: by the machine's firmware. */
async function onGoogleVm(): Promise<boolean> {
  if (process.platform !== 'linux') return false;
  try {
    return /google/i.test(await readFile('/sys/class/dmi/id/product_name', 'utf8'));
  } catch {
    return false;
  }
}
