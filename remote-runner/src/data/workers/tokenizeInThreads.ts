/** Rows tokenized on all cores: the same samples in the same order as one thread makes. */
import { availableParallelism } from 'node:os';
import type { TuneyardError } from '@protocol/errors';
import type { Row } from '../readers';
import type { Sample } from '../tokenize';
import { DataThread } from './dataThread';
import { unpack } from './packedSamples';
import type { TokenizeParams } from './tokenizeParams';

/** Characters a thread takes at a time. */
const CHUNK = 1 << 19;
/** Characters a thread must have to do to be worth its start and its own tokenizer: about a second of one core’s work. */
const WORTH = 8 << 20;

/** How many threads some rows are worth; below two they are tokenized where they are. */
export function threadsFor(rows: readonly Row[], cores = availableParallelism()): number {
  if (cores < 2) return 1;
  let characters = 0;
  for (const row of rows) {
    characters += sizeOf(row);
    if (characters >= cores * WORTH) return cores;
  }
  return Math.max(1, Math.floor(characters / WORTH));
}

/** @throws TuneyardError `cancelled`; `tokenizer_invalid` */
export async function tokenizeInThreads(
  { rows, ...params }: TokenizeParams,
  threads: number,
  signal?: AbortSignal,
): Promise<{ samples: Sample[]; errors: TuneyardError[] }> {
  const chunks = chunksOf(rows);
  const made: { samples: Sample[]; errors: TuneyardError[] }[] = new Array(chunks.length);
  const stop = new AbortController();
  const either = AbortSignal.any([stop.signal, ...(signal ? [signal] : [])]);
  let next = 0;
  const work = async () => {
    const thread = new DataThread();
    try {
      for (let mine = next++; mine < chunks.length; mine = next++) {
        made[mine] = unpack(await thread.run('tokenize', { ...params, rows: chunks[mine]! }, { signal: either }));
      }
    } catch (error) {
      stop.abort();
      throw error;
    } finally {
      await thread.close();
    }
  };
  const settled = await Promise.allSettled(Array.from({ length: Math.min(threads, chunks.length) }, work));
  const failures = settled.flatMap((one) => (one.status === 'rejected' ? [one.reason as TuneyardError] : []));
  const failure = failures.find(({ code }) => code !== 'cancelled') ?? failures[0];
  if (failure) throw failure;
  return { samples: made.flatMap(({ samples }) => samples), errors: made.flatMap(({ errors }) => errors) };
}

function chunksOf(rows: readonly Row[]): Row[][] {
  const chunks: Row[][] = [];
  let chunk: Row[] = [];
  let size = 0;
  for (const row of rows) {
    chunk.push(row);
    size += sizeOf(row);
    if (size < CHUNK) continue;
    chunks.push(chunk);
    chunk = [];
    size = 0;
  }
  if (chunk.length > 0) chunks.push(chunk);
  return chunks;
}

function sizeOf({ values }: Row): number {
  let size = 0;
  for (const column in values) {
    const value = values[column];
    // Chats: about, from their structure's parts.
    size += typeof value === 'string' ? value.length : Array.isArray(value) ? 200 * value.length : 8;
  }
  return size;
}
