/** Google's interfaces as the VM's own service account may use them: small enough to do without their libraries. */
import { setTimeout as sleep } from 'node:timers/promises';
import { TuneyardError } from '@protocol/errors';
import { type HttpAnswer, type HttpOptions, httpRequest } from './httpRequest';
import type { MetadataServer } from './metadataServer';

/** In place of Google's hosts; a test's server is the only one it is set to. */
const endpoint = (google: string): string => process.env.TUNEYARD_GCE_ENDPOINT?.replace(/\/$/, '') || google;

const ATTEMPTS = 6;
const FIRST_WAIT_MS = 500;

export class GoogleApi {
  constructor(private readonly metadata: MetadataServer) {}

  get compute(): string {
    return `${endpoint('https://compute.googleapis.com')}/compute/v1`;
  }

  get storage(): string {
    return endpoint('https://storage.googleapis.com');
  }

  /**
   * Sent again where that may help: no answer, 408, 429, 5xx. Only for what does no harm twice. Other statuses are the
   * caller's, 401 and 403 excepted.
   * @throws TuneyardError `cloud_permission` (also without a service account), `connection_failed`, `timed_out`,
   *   `cloud_failed`, `cancelled`
   */
  async request(url: string, options: HttpOptions = {}): Promise<HttpAnswer> {
    for (let attempt = 1; ; attempt++) {
      let failure: TuneyardError;
      try {
        const answer = await this.once(url, options);
        if (![408, 429].includes(answer.status) && answer.status < 500) return answer;
        failure = refused(answer);
      } catch (error) {
        if (!(error instanceof TuneyardError) || !['connection_failed', 'timed_out'].includes(error.code)) throw error;
        failure = error;
      }
      if (attempt === ATTEMPTS || typeof options.body === 'object') throw failure;
      await sleep(FIRST_WAIT_MS * 2 ** (attempt - 1), undefined, { signal: options.signal }).catch(() => {
        throw new TuneyardError('cancelled', 'cancelled.');
      });
    }
  }

  async once(url: string, options: HttpOptions = {}): Promise<HttpAnswer> {
    const answer = await httpRequest(url, { ...options, headers: await this.headers(options.headers) });
    if (answer.status === 401 || answer.status === 403) throw refused(answer);
    return answer;
  }

  async headers(more: Record<string, string> = {}): Promise<Record<string, string>> {
    const token = await this.metadata.token();
    if (token === undefined) {
      throw new TuneyardError(
        'cloud_permission',
        'the VM has no service account, and may change nothing in its project.',
      );
    }
    return { authorization: `Bearer ${token}`, 'content-type': 'application/json', ...more };
  }

  /** As {@link request}, for answers in JSON. @throws TuneyardError also for any other status that is not one of success */
  async json<T>(url: string, options: HttpOptions = {}): Promise<T> {
    return JSON.parse(succeeded(await this.request(url, options)).text) as T;
  }
}

export function succeeded(answer: HttpAnswer): HttpAnswer {
  if (answer.status >= 200 && answer.status < 300) return answer;
  throw refused(answer);
}

function refused({ status, text }: HttpAnswer): TuneyardError {
  let message: unknown;
  try {
    message = JSON.parse(text)?.error?.message;
  } catch {
    // Not every answer is in JSON.
  }
  const why = typeof message === 'string' ? message : `status ${status}`;
  const code = status === 401 || status === 403 ? 'cloud_permission' : 'cloud_failed';
  return new TuneyardError(code, `Google refuses: ${why}`, { data: { status } });
}
