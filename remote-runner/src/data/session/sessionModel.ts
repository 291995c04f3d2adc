/** What of a model a dataset is looked at with: its tokenizer, how many positions it has, how many weights. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { TuneyardError } from '@protocol/errors';
import { resolveModel } from '../../hub/download';
import { openModelDir } from '../../hub/modelDir';
import { loadTokenizer, type Tokenizer } from '../tokenizer';

export interface SessionModel {
  dir: string;
  tokenizer: Tokenizer;
  /** Samples are cut at so many tokens in any case. */
  maxPositions?: number;
  weights?: number;
}

/** The last few, by folder: a panel's controls ask again and again for the same. */
const kept = new Map<string, Promise<SessionModel>>();
const MOST_KEPT = 2;

/** A look does not wait longer for a tokenizer that has to be fetched. */
const FETCH_MS = 30_000;

/** @throws TuneyardError `file_not_found`, `tokenizer_invalid`, `hub_failed` */
export async function sessionModel(nameOrPath: string, signal?: AbortSignal): Promise<SessionModel> {
  const dir = await folderOf(nameOrPath, signal);
  const known = kept.get(dir);
  if (known) return known;
  const loading = readSessionModel(dir);
  kept.set(dir, loading);
  loading.catch(() => kept.delete(dir));
  const [oldest] = kept.keys();
  if (kept.size > MOST_KEPT && oldest !== undefined) kept.delete(oldest);
  return loading;
}

/** Hub names that were asked for before: a hub is not asked again at each turn of a control. */
const folders = new Map<string, string>();

async function folderOf(nameOrPath: string, signal: AbortSignal | undefined): Promise<string> {
  const known = folders.get(nameOrPath);
  if (known !== undefined) return known;
  const limit = AbortSignal.timeout(FETCH_MS);
  try {
    const signals = signal ? AbortSignal.any([signal, limit]) : limit;
    const dir = await resolveModel(nameOrPath, { signal: signals, tokenizerOnly: true });
    if (dir !== nameOrPath) folders.set(nameOrPath, dir);
    return dir;
  } catch (error) {
    if (!limit.aborted || signal?.aborted) throw error;
    throw new TuneyardError('hub_failed', `the tokenizer of ${nameOrPath} did not come within ${FETCH_MS / 1000} s.`);
  }
}

/** @throws TuneyardError `file_not_found`, `tokenizer_invalid` */
export async function readSessionModel(dir: string): Promise<SessionModel> {
  const tokenizer = await loadTokenizer(dir);
  const config = await json(join(dir, 'config.json'));
  const positions = config.max_position_embeddings ?? config.n_positions ?? config.seq_length;
  const weights = await countWeights(dir);
  return {
    dir,
    tokenizer,
    ...(typeof positions === 'number' ? { maxPositions: positions } : {}),
    ...(weights === undefined ? {} : { weights }),
  };
}

/** From the headers of the weights' files; undefined where there are none, as beside a tokenizer alone. */
async function countWeights(dir: string): Promise<number | undefined> {
  try {
    const { weights } = await openModelDir(dir);
    const sizes = weights.names().map((name) => weights.info(name).shape.reduce((a, b) => a * b, 1));
    return sizes.reduce((a, b) => a + b, 0);
  } catch {
    return undefined;
  }
}

async function json(file: string): Promise<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(await readFile(file, 'utf8'));
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
