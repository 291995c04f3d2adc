/** What several processes that train one model do together. Every rank makes the same calls in the same order. */

export interface Collective {
  /** 0 ≤ rank < worldSize. */
  readonly rank: number;
  readonly worldSize: number;
  /** Of the ranks on this machine: which GPU a rank takes. */
  readonly localRank: number;
  readonly localSize: number;
  /** Adds up what the ranks hold, in place: the same on every rank afterwards. */
  sum(data: Float32Array | Float64Array): Promise<void>;
  /** Adds up what the ranks hold; the sum of part `i` is then on rank `i`, in its place. The rest of `data` is void. */
  sumParts(data: Float32Array, parts: readonly Part[]): Promise<void>;
  /** Rank `i` holds part `i`; then every rank holds them all. */
  gatherParts(data: Float32Array, parts: readonly Part[]): Promise<void>;
  /** Every rank's part into its place in `whole`, which rank 0 alone has. */
  collect(own: Float32Array, parts: readonly Part[], whole: Float32Array | undefined): Promise<void>;
  /** The other way: from rank 0's `whole`, to each rank its part. */
  spread(own: Float32Array, parts: readonly Part[], whole: Float32Array | undefined): Promise<void>;
  /** Rank 0's, on every rank. */
  broadcast(data: Float32Array | Uint8Array): Promise<void>;
  /** Returns when every rank has called it. */
  barrier(): Promise<void>;
  /** Ends the communication, when every rank has called it. */
  close(): Promise<void>;
}

/** What weights and gradients need of it. */
export type ArenaExchange = Pick<Collective, 'sum' | 'sumParts' | 'gatherParts'>;

/** Elements `[from, to)`. */
export interface Part {
  readonly from: number;
  readonly to: number;
}

/** A part for each rank, as equal as multiples of 64 bytes allow; the last ones may be empty. */
export function partsOf(size: number, worldSize: number): Part[] {
  const each = Math.ceil(size / worldSize / FLOATS) * FLOATS;
  return Array.from({ length: worldSize }, (_, rank) => ({
    from: Math.min(rank * each, size),
    to: Math.min((rank + 1) * each, size),
  }));
}

const FLOATS = 16;
