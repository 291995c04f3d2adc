import { createHash } from 'node:crypto';

/** What {@link hashWeights} looks at. */
export interface HashedTensor {
  name: string;
  shape: readonly number[];
  data: Float32Array;
}

/**
 * Names weights by their content: the same names, shapes and float32 bits give the same hash, wherever they lie and
 * in whatever order they come. Every generated text carries it.
 * @returns `sha256:` and 12 hex digits
 */
export function hashWeights(tensors: readonly HashedTensor[]): string {
  const hash = createHash('sha256');
  const sorted = [...tensors].sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
  for (const { name, shape, data } of sorted) {
    hash.update(`${JSON.stringify([name, shape])}\n`);
    hash.update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  }
  return `sha256:${hash.digest('hex').slice(0, 12)}`;
}
