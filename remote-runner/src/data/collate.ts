/** Puts samples into one batch of a fixed shape, as a compiled graph wants it. */
import { TuneyardError } from '@protocol/errors';
import { IGNORED, type Sample } from './tokenize';

export interface Batch {
  /** B: rows, dummies included. */
  batchSize: number;
  /** T: tokens a row, what is in front and padding included. */
  length: number;
  /** [B·T], row after row, padded on the right. */
  inputIds: BigInt64Array;
  /** [B]: tokens of each row without padding; 1 for a dummy, which has nothing in front. */
  lengths: Int32Array;
  /** [S]: the flat positions b·T + t whose *next* token is learned. */
  rows: Int32Array;
  /** [S]: the ids of those next tokens. */
  targets: Int32Array;
  /** Lines of the samples in their file; dummies have none. */
  lines: number[];
  /** Tokens of the samples. */
  tokens: number;
}

export interface CollateOptions {
  /** Tokens of a sample, padding included. */
  length: number;
  /** B; default: as many as there are samples. */
  batchSize?: number;
  /** Tokens to put in front of each sample, beyond `length`; and whether its first token is learned from the last of them. */
  front?: { readonly ids: readonly number[]; readonly foretells: boolean } | undefined;
  /** Any id of the vocabulary will do: nothing is ever learned from or about padding. */
  padTokenId: number;
}

/**
 * Makes a batch. Where there are fewer samples than rows (at the end of an epoch), dummy rows of one token, of which
 * nothing is learned, fill it up, so that the graph compiled for this shape serves.
 *
 * @throws TuneyardError `internal` where a sample is longer than a row, or there are more samples than rows
 */
export function collate(samples: readonly Sample[], options: CollateOptions): Batch {
  const { batchSize = samples.length, padTokenId, front } = options;
  const more = front?.ids.length ?? 0;
  const length = options.length + more;
  if (samples.length > batchSize) {
    throw new TuneyardError('internal', `${samples.length} samples do not fit a batch of ${batchSize}.`);
  }
  const inputIds = new BigInt64Array(batchSize * length).fill(BigInt(padTokenId));
  const lengths = new Int32Array(batchSize).fill(1);
  const rows: number[] = [];
  const targets: number[] = [];
  let tokens = 0;
  for (const [b, sample] of samples.entries()) {
    const count = sample.inputIds.length;
    if (count > options.length) {
      throw new TuneyardError(
        'internal',
        `a sample of ${count} tokens does not fit a batch of length ${options.length}.`,
      );
    }
    const start = b * length + more;
    front?.ids.forEach((id, t) => {
      inputIds[b * length + t] = BigInt(id);
    });
    for (let t = 0; t < count; t++) inputIds[start + t] = BigInt(sample.inputIds[t]!);
    for (let t = front?.foretells ? 0 : 1; t < count; t++) {
      const target = sample.labels[t]!;
      if (target === IGNORED) continue;
      rows.push(start + t - 1);
      targets.push(target);
    }
    lengths[b] = more + count;
    tokens += count;
  }
  return {
    batchSize,
    length,
    inputIds,
    lengths,
    rows: Int32Array.from(rows),
    targets: Int32Array.from(targets),
    lines: samples.map(({ line }) => line),
    tokens,
  };
}
