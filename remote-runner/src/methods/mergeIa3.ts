/** Factors of a matrix's outputs or inputs, multiplied into it. */
import { type AdapterOf, type Rounding, useless } from './peftAdapter';
import type { Matrix } from './targets';

/**
 * What its file calls [1, in] multiplies inputs; [out, 1] outputs, and so the bias as well.
 * @returns what rounding once did to the weights
 * @throws TuneyardError `weights_invalid` where the tensor does not fit
 */
export async function mergeIa3(
  adapter: AdapterOf<'IA3'>,
  { name, inner, out, kind }: Matrix,
  { weight, bias }: { readonly weight: Float32Array; readonly bias: Float32Array | undefined },
  signal: AbortSignal | undefined,
): Promise<Rounding> {
  const key = `base_model.model.${name}.ia3_l`;
  const [rows, columns] = adapter.weights.info(key).shape;
  const isByInput = rows === 1 && columns === inner;
  if (!isByInput && !(rows === out && columns === 1)) throw useless(adapter, key);
  const factors = await adapter.weights.readFloat32(key, undefined, signal);
  const width = kind === 'linear' ? inner : out;
  const isByColumn = isByInput === (kind === 'linear');
  let [error, largest] = [0, 0];
  const multiply = (values: Float32Array, factorOf: (i: number) => number) => {
    for (let i = 0; i < values.length; i++) {
      const exact = values[i]! * factorOf(i);
      values[i] = exact;
      error = Math.max(error, Math.abs(values[i]! - exact));
      largest = Math.max(largest, Math.abs(exact));
    }
  };
  multiply(weight, (i) => factors[isByColumn ? i % width : Math.floor(i / width)]!);
  if (bias && !isByInput) multiply(bias, (i) => factors[i]!);
  return { error, largest };
}
