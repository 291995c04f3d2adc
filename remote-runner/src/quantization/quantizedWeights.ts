/** Where the matrices of a model lie that are there in 4 or 8 bits. */
import { TuneyardError } from '@protocol/errors';
import type { TensorView } from '../engine/engine';
import { elementCount, type Shape } from '../graph/ir';
import type { Matrix } from '../methods/targets';
import type { StoredParameters } from '../train/arena';
import type { QuantizationScheme } from './quantize';

/** Tensors begin at multiples of it: see `train/arena.ts`. */
const ALIGNMENT = 64;

export class QuantizedWeights implements StoredParameters {
  readonly data: Uint8Array;
  readonly tensors: readonly { readonly name: string; readonly shape: Shape }[];
  readonly #views = new Map<string, TensorView>();

  constructor(
    readonly matrices: readonly Matrix[],
    readonly scheme: QuantizationScheme,
  ) {
    const parts = matrices.flatMap((matrix) =>
      scheme.parts(matrix).map((part) => ({ ...part, name: `${matrix.name}${part.end}` })),
    );
    const sizes = parts.map(({ dtype, shape }) => (dtype === 'uint8' ? 1 : 4) * elementCount(shape));
    const offsets: number[] = [];
    let end = 0;
    for (const size of sizes) {
      offsets.push(end);
      end += Math.ceil(size / ALIGNMENT) * ALIGNMENT;
    }
    this.data = new Uint8Array(end);
    this.tensors = parts;
    for (const [i, { name, dtype, shape }] of parts.entries()) {
      const at = offsets[i]!;
      const length = elementCount(shape);
      const data =
        dtype === 'uint8' ? this.data.subarray(at, at + length) : new Float32Array(this.data.buffer, at, length);
      this.#views.set(name, { dtype, shape, data });
    }
  }

  /** @param weight [out, in] */
  fill({ name }: Matrix, weight: Float32Array): void {
    this.scheme.quantize(weight, (end) => this.view(`${name}${end}`).data as Uint8Array | Float32Array);
  }

  view(name: string): TensorView {
    const found = this.#views.get(name);
    if (!found) throw new TuneyardError('internal', `there is no quantized tensor named ${name}.`);
    return found;
  }

  rows(name: string): TensorView {
    throw noNumbers(name);
  }

  slice(name: string): Float32Array {
    throw noNumbers(name);
  }
}

const noNumbers = (name: string) => new TuneyardError('internal', `${name} is not there as numbers.`);
