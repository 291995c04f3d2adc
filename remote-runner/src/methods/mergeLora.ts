/** W + scale · B A, computed into W. */
import { scaleOf } from './lora';
import { type AdapterOf, type Rounding, useless } from './peftAdapter';
import type { Matrix } from './targets';

/**
 * @returns what rounding once did to the weights
 * @throws TuneyardError `weights_invalid` where the tensors do not fit
 */
export async function mergeLora(
  adapter: AdapterOf<'LORA'>,
  { name, inner, out, kind }: Matrix,
  weight: Float32Array,
  signal: AbortSignal | undefined,
): Promise<Rounding> {
  const names = { a: `base_model.model.${name}.lora_A.weight`, b: `base_model.model.${name}.lora_B.weight` };
  const [rank, width] = adapter.weights.info(names.a).shape as [number, number];
  const [height, same] = adapter.weights.has(names.b) ? adapter.weights.info(names.b).shape : [];
  if (width !== inner || height !== out || same !== rank) throw useless(adapter, names.a);
  const [a, b] = [
    await adapter.weights.readFloat32(names.a, undefined, signal),
    await adapter.weights.readFloat32(names.b, undefined, signal),
  ];
  const { lora_alpha, use_rslora, alpha_pattern } = adapter.config;
  const alpha = Object.entries(alpha_pattern ?? {}).find(([key]) => name === key || name.endsWith(`.${key}`))?.[1];
  const scale = scaleOf(alpha ?? lora_alpha, rank, use_rslora);
  const lengths = adapter.config.use_dora
    ? await adapter.weights.readFloat32(`base_model.model.${name}.lora_magnitude_vector`, undefined, signal)
    : undefined;
  return addProduct(weight, { a, b, rank, scale, lengths }, { inner, out, kind });
}

/** What an adapter has for one matrix. */
interface Factors {
  /** [rank, in] */
  readonly a: Float32Array;
  /** [out, rank] */
  readonly b: Float32Array;
  readonly rank: number;
  readonly scale: number;
  /** [out]: DoRA's. */
  readonly lengths: Float32Array | undefined;
}

/** W + scale · B A in place, brought to its lengths. */
function addProduct(
  weight: Float32Array,
  { a, b, rank, scale, lengths }: Factors,
  { inner, out, kind }: Omit<Matrix, 'name'>,
): Rounding {
  // Rows of the weight as it lies: of outputs in a Linear, of inputs in a Conv1D.
  const [rows, columns] = kind === 'linear' ? [out, inner] : [inner, out];
  const row = new Float64Array(columns);
  const add = (i: number) => {
    row.fill(0);
    for (let k = 0; k < rank; k++) {
      const factor = scale * (kind === 'linear' ? b[i * rank + k]! : a[k * inner + i]!);
      if (kind === 'linear') for (let j = 0; j < columns; j++) row[j] = row[j]! + factor * a[k * inner + j]!;
      else for (let j = 0; j < columns; j++) row[j] = row[j]! + factor * b[j * rank + k]!;
    }
    for (let j = 0; j < columns; j++) row[j] = row[j]! + weight[i * columns + j]!;
  };
  // What each output's numbers are multiplied by.
  const factors = new Float64Array(out).fill(1);
  if (lengths) {
    const squares = new Float64Array(out);
    for (let i = 0; i < rows; i++) {
      add(i);
      for (let j = 0; j < columns; j++) squares[kind === 'linear' ? i : j]! += row[j]! ** 2;
    }
    for (let i = 0; i < out; i++) factors[i] = lengths[i]! / Math.sqrt(squares[i]!);
  }
  let [error, largest] = [0, 0];
  for (let i = 0; i < rows; i++) {
    add(i);
    for (let j = 0; j < columns; j++) {
      const exact = row[j]! * factors[kind === 'linear' ? i : j]!;
      weight[i * columns + j] = exact;
      error = Math.max(error, Math.abs(weight[i * columns + j]! - exact));
      largest = Math.max(largest, Math.abs(exact));
    }
  }
  return { error, largest };
}
