/** Finds models on the hub that can be trained here: by its HTTP API, with a time limit. */
import { TuneyardError } from '@protocol/errors';
import * as l10n from '@vscode/l10n';
import { isRecord } from './recipeText';

export interface HubModel {
  name: string;
  downloads: number;
  parameters?: number;
  /** Its conditions must be accepted, with a token, before it can be fetched. */
  gated: boolean;
}

/** `model_type`s that the runner knows; the hub tags its models with them. */
export const MODEL_TYPES = ['gpt2', 'gpt_neo'] as const;

const TIMEOUT_MS = 15_000;
const MOST = 20;

/**
 * Models with safetensors weights of an architecture that can be trained, the most loaded first.
 * @param endpoint the hub's address
 * @throws TuneyardError `hub_failed`, `cancelled`
 */
export async function searchHub(endpoint: string, words: string, signal?: AbortSignal): Promise<HubModel[]> {
  const found = await Promise.all(
    MODEL_TYPES.map((type) => {
      const url = apiUrl(endpoint, '/api/models');
      if (words.trim() !== '') url.searchParams.set('search', words.trim());
      for (const filter of ['text-generation', 'safetensors', type]) url.searchParams.append('filter', filter);
      url.searchParams.set('sort', 'downloads');
      url.searchParams.set('direction', '-1');
      url.searchParams.set('limit', String(MOST));
      for (const field of ['downloads', 'safetensors', 'gated']) url.searchParams.append('expand[]', field);
      return getJson(url, signal);
    }),
  );
  const models = new Map<string, HubModel>();
  for (const entry of found.flatMap((list) => (Array.isArray(list) ? list : []))) {
    const model = modelOf(entry);
    if (model) models.set(model.name, model);
  }
  return [...models.values()].sort((a, b) => b.downloads - a.downloads).slice(0, MOST);
}

export interface HubDataset {
  name: string;
  downloads: number;
  gated: boolean;
}

/** Datasets with text, the most loaded first. @throws TuneyardError `hub_failed`, `cancelled` */
export async function searchDatasets(endpoint: string, words: string, signal?: AbortSignal): Promise<HubDataset[]> {
  const url = apiUrl(endpoint, '/api/datasets');
  if (words.trim() !== '') url.searchParams.set('search', words.trim());
  url.searchParams.append('filter', 'modality:text');
  url.searchParams.set('sort', 'downloads');
  url.searchParams.set('direction', '-1');
  url.searchParams.set('limit', String(MOST));
  for (const field of ['downloads', 'gated']) url.searchParams.append('expand[]', field);
  const found = await getJson(url, signal);
  return (Array.isArray(found) ? found : []).flatMap((entry) => modelOf(entry) ?? []);
}

/** One model, by its name; undefined where the hub has none or cannot be reached. */
export async function findOnHub(endpoint: string, name: string, signal?: AbortSignal): Promise<HubModel | undefined> {
  try {
    const url = apiUrl(endpoint, `/api/models/${name.split('/').map(encodeURIComponent).join('/')}`);
    for (const field of ['downloads', 'safetensors', 'gated']) url.searchParams.append('expand[]', field);
    return modelOf(await getJson(url, signal));
  } catch (error) {
    if (error instanceof TuneyardError && error.code === 'cancelled') throw error;
    return undefined;
  }
}

function modelOf(entry: unknown): HubModel | undefined {
  if (!isRecord(entry)) return undefined;
  const name = entry.id ?? entry.modelId;
  if (typeof name !== 'string') return undefined;
  const total = isRecord(entry.safetensors) ? entry.safetensors.total : undefined;
  return {
    name,
    downloads: typeof entry.downloads === 'number' ? entry.downloads : 0,
    gated: entry.gated !== undefined && entry.gated !== false,
    ...(typeof total === 'number' ? { parameters: total } : {}),
  };
}

function apiUrl(endpoint: string, path: string): URL {
  const text = endpoint.replace(/\/+$/, '') + path;
  if (!URL.canParse(text) || !/^https?:\/\//.test(text)) {
    throw new TuneyardError('hub_failed', l10n.t('The setting tuneyard.hubEndpoint is no address: {0}', endpoint));
  }
  return new URL(text);
}

async function getJson(url: URL, signal: AbortSignal | undefined): Promise<unknown> {
  const limit = AbortSignal.timeout(TIMEOUT_MS);
  let status: number | undefined;
  try {
    const response = await fetch(url, { signal: signal ? AbortSignal.any([signal, limit]) : limit });
    status = response.status;
    if (response.ok) return await response.json();
    await response.body?.cancel();
  } catch (cause) {
    if (signal?.aborted) throw new TuneyardError('cancelled', 'cancelled.', { cause });
    const why = limit.aborted ? l10n.t('no answer in time') : reasonOf(cause);
    throw new TuneyardError(
      'hub_failed',
      l10n.t(
        '{0} cannot be used ({1}). Check the connection, set tuneyard.hubEndpoint to a mirror, or choose what you have on this machine.',
        url.origin,
        why,
      ),
      { cause },
    );
  }
  throw new TuneyardError('hub_failed', l10n.t('{0} answered with status {1}. Try again later.', url.origin, status));
}

/** The innermost cause in a few words. */
function reasonOf(error: unknown): string {
  let inner = error;
  while (inner instanceof Error && inner.cause instanceof Error) inner = inner.cause;
  if (inner instanceof Error && 'code' in inner && typeof inner.code === 'string') return inner.code;
  return inner instanceof SyntaxError ? l10n.t('its answer is no JSON') : l10n.t('no proper answer');
}
