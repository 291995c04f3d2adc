/**
 * Google's metadata server as a VM sees it. GCE_METADATA_HOST is where Google's own libraries look for another one.
 * https://cloud.google.com/compute/docs/metadata/overview
 */
import { TuneyardError } from '@protocol/errors';
import { GUEST_NAMESPACE } from '@protocol/watchdog';
import { type HttpAnswer, type HttpOptions, httpRequest } from './httpRequest';

/** Which VM this is. */
export interface Instance {
  project: string;
  zone: string;
  name: string;
  /** Google's number for it: tells it from a later one of the same name. */
  id: string;
}

export interface Watched<T> {
  value: T;
  /** For the next call: it returns once the value is another one. */
  etag: string;
}

/** How long it is asked to hold an answer back until something changes. */
const WAIT_SECONDS = 60;
/** A token that ends within this time is not begun with. */
const TOKEN_SPARE_MS = 120_000;

export class MetadataServer {
  readonly #base: string;
  #token: { value: string; until: number } | undefined;

  constructor(host = process.env.GCE_METADATA_HOST || '169.254.169.254') {
    this.#base = `http://${host}/computeMetadata/v1`;
  }

  async instance(signal?: AbortSignal): Promise<Instance> {
    const [project, zone, name, id] = await Promise.all(
      ['project/project-id', 'instance/zone', 'instance/name', 'instance/id'].map((path) => this.#text(path, signal)),
    );
    return { project: project!, zone: zone!.slice(zone!.lastIndexOf('/') + 1), name: name!, id: id! };
  }

  /** All metadata items of the instance. With `etag`: once they have changed, or after a minute. */
  async attributes(etag?: string, signal?: AbortSignal): Promise<Watched<Record<string, string>>> {
    const answer = await this.#watch('instance/attributes/?recursive=true', etag, signal);
    return { value: JSON.parse(answer.text) as Record<string, string>, etag: etagOf(answer) };
  }

  /** Whether the cloud takes the VM away. With `etag` as {@link attributes}. */
  async preempted(etag?: string, signal?: AbortSignal): Promise<Watched<boolean>> {
    const answer = await this.#watch('instance/preempted', etag, signal);
    return { value: answer.text.trim().toUpperCase() === 'TRUE', etag: etagOf(answer) };
  }

  /** `NONE`, `MIGRATE_ON_HOST_MAINTENANCE`, `TERMINATE_ON_HOST_MAINTENANCE`. Who never asks is not told beforehand. */
  maintenanceEvent(signal?: AbortSignal): Promise<string> {
    return this.#text('instance/maintenance-event', signal);
  }

  async setGuestAttribute(key: string, value: string, signal?: AbortSignal): Promise<void> {
    await this.#ask(`instance/guest-attributes/${GUEST_NAMESPACE}/${key}`, { method: 'PUT', body: value, signal });
  }

  /** Of the VM's service account; undefined where it has none. */
  async token(now = Date.now()): Promise<string | undefined> {
    if (this.#token && now < this.#token.until) return this.#token.value;
    const answer = await this.#send('instance/service-accounts/default/token');
    if (answer.status === 404) return undefined;
    const { access_token, expires_in } = JSON.parse(passed(answer).text) as Record<string, unknown>;
    if (typeof access_token !== 'string' || typeof expires_in !== 'number') {
      throw new TuneyardError('cloud_failed', 'the metadata server gave no token.');
    }
    this.#token = { value: access_token, until: now + expires_in * 1000 - TOKEN_SPARE_MS };
    return access_token;
  }

  #watch(path: string, etag: string | undefined, signal: AbortSignal | undefined): Promise<HttpAnswer> {
    if (etag === undefined) return this.#ask(path, { signal });
    const query = `wait_for_change=true&timeout_sec=${WAIT_SECONDS}&last_etag=${encodeURIComponent(etag)}`;
    const url = `${path}${path.includes('?') ? '&' : '?'}${query}`;
    return this.#ask(url, { signal, stallMs: (WAIT_SECONDS + 30) * 1000 });
  }

  async #text(path: string, signal?: AbortSignal): Promise<string> {
    return (await this.#ask(path, { signal })).text.trim();
  }

  async #ask(path: string, options: HttpOptions): Promise<HttpAnswer> {
    return passed(await this.#send(path, options));
  }

  async #send(path: string, options: HttpOptions = {}): Promise<HttpAnswer> {
    const answer = await httpRequest(`${this.#base}/${path}`, {
      ...options,
      headers: { 'metadata-flavor': 'Google' },
    });
    // Anything else that answers at this address is not to be believed.
    if (answer.headers['metadata-flavor'] !== 'Google') {
      throw new TuneyardError('cloud_failed', 'what answers is not the metadata server of Google Compute Engine.');
    }
    return answer;
  }
}

const etagOf = ({ headers }: HttpAnswer): string => headers.etag ?? '0';

function passed(answer: HttpAnswer): HttpAnswer {
  if (answer.status >= 200 && answer.status < 300) return answer;
  throw new TuneyardError('cloud_failed', `the metadata server answers with status ${answer.status}.`, {
    data: { status: answer.status },
  });
}
