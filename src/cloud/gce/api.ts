/**
 * Calls to Compute Engine: each has a time limit, can be cancelled, and is repeated with growing pauses where that may
 * help (429, 5xx, connections that break). That repeats nothing twice is seen to by the request's own ID.
 */
import type { CloudIdentity } from '@protocol/cloud';
import { TuneyardError } from '@protocol/errors';
import * as l10n from '@vscode/l10n';
import type { GoogleAuth } from 'google-auth-library';
import pRetry from 'p-retry';
import type { ClientOptions } from './computeLibrary.mjs';
import { type Credentials, findCredentials } from './credentials';
import { cloudError, type Doing } from './errors';
import { type Fault, faultOf, isPassing } from './faults';
import type { CallOptions, Compute } from './messages';

export interface ApiOptions {
  /** In place of Google's: `https://…`, or `http://` of this machine. */
  endpoint?: string;
  credentialsFile?: string;
  env: NodeJS.ProcessEnv;
  log(line: string): void;
  /** First pause before a call is repeated; doubled each time, with jitter. Milliseconds. */
  firstPause: number;
  /** How fast the clock goes by which calls have their time limits. Default 1. */
  pace?: number;
}

/** What one request may take. */
const CALL_LIMIT = 60_000;
const REPEATS = 6;
/** What it may take with its repetitions, before the last begins. */
const WHOLE_LIMIT = 120_000;
const LONGEST_PAUSE = 16_000;
const NO_RETRY: CallOptions['retry'] = { retryCodes: [], backoffSettings: {} };

interface Loaded {
  clients: Compute;
  auth: GoogleAuth;
}

export type Ask<Answer> = (api: Compute, options: CallOptions, token: string) => Promise<Answer>;

interface CallLimits {
  signal?: AbortSignal | undefined;
  /** Milliseconds, of one attempt. */
  timeout?: number;
}

export class Api {
  #credentials?: Promise<Credentials>;
  #loaded?: Promise<Loaded>;

  constructor(private readonly options: ApiOptions) {}

  /**
   * As files and environment say it now.
   *
   * @throws `cloud_credentials`
   */
  async identity(): Promise<CloudIdentity> {
    return (await findCredentials(this.options.credentialsFile, this.options.env)).identity;
  }

  /** Asks for one where there is none: whether the credentials are good is known then. */
  async accessToken(signal?: AbortSignal): Promise<string> {
    return this.call({ project: '' }, async (_, __, token) => token, { signal });
  }

  async call<Answer>(doing: Doing, ask: Ask<Answer>, limits: CallLimits = {}): Promise<Answer> {
    const { signal } = limits;
    const timeout = (limits.timeout ?? CALL_LIMIT) / (this.options.pace ?? 1);
    if (signal?.aborted) throw cancelled();
    const { clients, auth } = await this.#load();
    const { account } = (await this.#found()).identity;
    let fault: Fault | undefined;
    let isRenewed = false;
    const attempt = async () => {
      const limit = AbortSignal.any([AbortSignal.timeout(timeout), ...(signal ? [signal] : [])]);
      fault = undefined;
      let token: string | null | undefined;
      try {
        token = await unless(limit, auth.getAccessToken(), () => (fault = lostBy(signal)));
      } catch (error) {
        fault ??= { ...faultOf(error), token: true };
        throw new Error(fault.message);
      }
      try {
        const answer = ask(clients, { timeout, signal: limit, retry: NO_RETRY, autoPaginate: false }, token ?? '');
        return await unless(limit, answer, () => (fault = lostBy(signal)));
      } catch (error) {
        if (error instanceof TuneyardError) throw error;
        fault ??= faultOf(error);
        throw new Error(fault.message);
      }
    };
    try {
      return await pRetry(attempt, {
        retries: REPEATS,
        minTimeout: this.options.firstPause,
        maxTimeout: LONGEST_PAUSE,
        maxRetryTime: WHOLE_LIMIT,
        randomize: true,
        ...(signal ? { signal } : {}),
        shouldRetry: async () => {
          if (fault?.http !== 401 || fault.token || isRenewed) return fault !== undefined && isPassing(fault);
          // A token may end before its time, and this machine's clock may be wrong: another is asked for, once.
          isRenewed = true;
          (await auth.getClient()).credentials.expiry_date = 1;
          return true;
        },
        onFailedAttempt: ({ attemptNumber }) => {
          if (fault && isPassing(fault))
            this.options.log(`Compute Engine, attempt ${attemptNumber}: ${briefly(fault)}`);
        },
      });
    } catch (error) {
      if (error instanceof TuneyardError) throw error;
      if (signal?.aborted) throw cancelled();
      if (!fault) throw new TuneyardError('internal', String(error), { cause: error });
      const meant = cloudError(fault, { ...(account ? { account } : {}), ...doing });
      if (meant.code === 'cloud_credentials') this.#forget();
      throw meant;
    }
  }

  #found(): Promise<Credentials> {
    this.#credentials ??= findCredentials(this.options.credentialsFile, this.options.env);
    this.#credentials.catch(() => this.#forget());
    return this.#credentials;
  }

  /** Whoever logs in now need not start anew. */
  #forget(): void {
    this.#credentials = undefined;
    this.#loaded = undefined;
  }

  #load(): Promise<Loaded> {
    this.#loaded ??= this.#start();
    this.#loaded.catch(() => this.#forget());
    return this.#loaded;
  }

  async #start(): Promise<Loaded> {
    const credentials = await this.#found();
    const place = endpointOptions(this.options.endpoint);
    const library = await import('./computeLibrary.mjs');
    const auth = await credentials.auth(library);
    const { CLIENTS, TRANSPORT } = library;
    const options: ClientOptions = { auth, ...place };
    const clients: Compute = {
      acceleratorTypes: new CLIENTS.acceleratorTypes(options, TRANSPORT),
      addresses: new CLIENTS.addresses(options, TRANSPORT),
      disks: new CLIENTS.disks(options, TRANSPORT),
      images: new CLIENTS.images(options, TRANSPORT),
      instances: new CLIENTS.instances(options, TRANSPORT),
      machineTypes: new CLIENTS.machineTypes(options, TRANSPORT),
      projects: new CLIENTS.projects(options, TRANSPORT),
      regions: new CLIENTS.regions(options, TRANSPORT),
      snapshots: new CLIENTS.snapshots(options, TRANSPORT),
      zoneOperations: new CLIENTS.zoneOperations(options, TRANSPORT),
    };
    return { clients, auth };
  }
}

/** Tokens go there: without encryption only to this machine. */
function endpointOptions(endpoint: string | undefined): Omit<ClientOptions, 'auth'> {
  if (!endpoint) return {};
  const url = URL.canParse(endpoint) ? new URL(endpoint) : undefined;
  const local = url && /^(127(\.\d+){3}|localhost|\[::1\])$/.test(url.hostname);
  if (!url || !(url.protocol === 'https:' || (url.protocol === 'http:' && local))) {
    const sentence = l10n.t(
      'The address "{0}" for Compute Engine is not one: it begins with https://, or with http:// on this machine.',
      endpoint,
    );
    throw new TuneyardError('cloud_invalid', sentence, { data: { reason: 'endpoint' } });
  }
  const protocol = url.protocol === 'https:' ? 'https' : 'http';
  const port = Number(url.port) || (protocol === 'https' ? 443 : 80);
  return { apiEndpoint: url.hostname, port, protocol };
}

/** The library does not always hear of a signal; who waits does. */
function unless<Answer>(signal: AbortSignal, answer: Promise<Answer>, lost: () => void): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const abort = () => {
      lost();
      reject(signal.reason);
    };
    if (signal.aborted) return abort();
    signal.addEventListener('abort', abort, { once: true });
    answer.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}

function lostBy(signal: AbortSignal | undefined): Fault {
  const lost = signal?.aborted ? 'cancelled' : 'timeout';
  return { reasons: [], message: lost, facts: {}, lost };
}

export function cancelled(): TuneyardError {
  return new TuneyardError('cancelled', l10n.t('Cancelled.'));
}

/** For the log: no message, for it may quote what was sent. */
function briefly({ http, reasons, lost, token }: Fault): string {
  return [token ? 'token' : undefined, lost, http, ...reasons].filter(Boolean).join(' ') || 'failed';
}
