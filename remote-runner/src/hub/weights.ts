import type { TensorInfo } from './safetensorsHeader';

/** The weights of a model, in one file or many, opened for reading. No file stays open between calls. */
export interface Weights {
  /** Every tensor, in the order of the bytes. */
  names(): string[];
  has(name: string): boolean;
  /** @throws TuneyardError `weights_invalid` where there is no such tensor */
  info(name: string): TensorInfo;
  /**
   * Reads a tensor as float32; F16, BF16 and F64 are converted on the way, piece by piece.
   * @param into as many elements as the tensor has; made where not given
   * @throws TuneyardError `weights_invalid` for a missing tensor, one of whole numbers, or a wrong length of `into`
   */
  readFloat32(name: string, into?: Float32Array, signal?: AbortSignal): Promise<Float32Array>;
  /** The strings under `__metadata__`. */
  metadata: Readonly<Record<string, string>>;
}
