/** Where the matrices of a model lie that are there in 4 or 8 bits. */
import { TuneyardError } from '@protocol/errors';
import type { TensorView } from '../engine/engine';
import { layOut, typedArray } from '../engine/workspace';
import { elementCount, type Shape } from '../graph/ir';
import type { Matrix } from '../methods/targets';
import type { StoredParameters } from '../train/arena';
import type { QuantizationScheme } from './quantize';

export class QuantizedWeights implements StoredParameters {
  readonly data: Uint8Array;
  readonly tensors: readonly { readonly name: string; readonly shape: Shape }[];
  readonly #views = new Map<string, TensorView>();

  constructor(
    readonly matrices: readonly Matrix[],
    readonly scheme: QuantizationScheme,
  ) {
    const parts = new Map(
      matrices.flatMap((matrix) => scheme.parts(matrix).map((part) => [`${matrix.name}${part.end}`, part] as const)),
    );
    const { offsets, bytes } = layOut(parts);
    this.data = new Uint8Array(bytes);
    this.tensors = [...parts].map(([name, { shape }]) => ({ name, shape }));
    for (const [name, { dtype, shape }] of parts) {
      const data = typedArray(dtype, this.data.buffer as ArrayBuffer, offsets.get(name)!, elementCount(shape));
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
