/** Adapters in PEFT's format: a folder with `adapter_config.json` and `adapter_model.safetensors` beside a base model. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { TuneyardError } from '@protocol/errors';
import { z } from 'zod';
import { systemErrorCode } from '../hub/diskError';
import { ADAPTER_CONFIG_FILE, ADAPTER_WEIGHTS_FILE } from '../hub/modelFiles';
import { openSafetensors } from '../hub/safetensors';
import type { Weights } from '../hub/weights';
import type { CausalLm } from '../models/causalLm';
import type { ParameterSet } from '../train/arena';
import { scaleOf } from './lora';
import { type Matrix, matricesOf } from './targets';

const configSchema = z.object({
  peft_type: z.literal('LORA'),
  base_model_name_or_path: z.string().min(1),
  r: z.number().int().positive(),
  lora_alpha: z.number().positive(),
  use_rslora: z.boolean().default(false),
  use_dora: z.boolean().default(false),
  rank_pattern: z.record(z.string(), z.number()).nullish(),
  alpha_pattern: z.record(z.string(), z.number()).nullish(),
});

export interface PeftAdapter {
  readonly dir: string;
  /** The base model: a folder or a hub name. */
  readonly base: string;
  readonly config: z.infer<typeof configSchema>;
  readonly weights: Weights;
}

/** @throws TuneyardError `model_invalid`, `model_unsupported` for another kind of adapter; undefined where there is none */
export async function openAdapter(dir: string): Promise<PeftAdapter | undefined> {
  const file = join(dir, ADAPTER_CONFIG_FILE);
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
  const place = { file };
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new TuneyardError('model_invalid', 'is not JSON.', { place, cause: error });
  }
  const config = configSchema.safeParse(json);
  if (!config.success) {
    const [issue] = config.error.issues;
    const key = issue?.path.join('.') ?? '';
    const value = JSON.stringify((json as Record<string, unknown> | null)?.[key]);
    throw new TuneyardError('model_unsupported', `"${key}": ${value} is not supported; adapters of LoRA are.`, {
      place,
    });
  }
  const weights = await openSafetensors(join(dir, ADAPTER_WEIGHTS_FILE));
  return { dir, base: config.data.base_model_name_or_path, config: config.data, weights };
}

const LORA = /^base_model\.model\.(.+)\.lora_(A\.weight|B\.weight|magnitude_vector)$/;
const WHOLE = /^base_model\.model\.(.+?)(?:\.base_layer|\.modules_to_save)?\.(weight|bias)$/;

/**
 * Adds an adapter to the weights: W + scale · B A, in DoRA by lengths of their own, in float64 and rounded once.
 * @returns the largest rounding error of a weight, as a share of the largest weight of its matrix
 * @throws TuneyardError `weights_invalid` for a tensor that the model has no use for
 */
export async function mergeAdapter(
  adapter: PeftAdapter,
  model: CausalLm,
  parameters: ParameterSet,
  signal?: AbortSignal,
): Promise<number> {
  const matrices = new Map(matricesOf(model).map((matrix) => [matrix.name, matrix]));
  const known = new Map(model.parameters.map((parameter) => [parameter.name, parameter]));
  let worst = 0;
  for (const name of adapter.weights.names()) {
    const [, module, half] = LORA.exec(name) ?? [];
    if (module !== undefined) {
      if (half !== 'A.weight') continue;
      const matrix = matrices.get(module);
      if (!matrix) throw useless(adapter, name);
      worst = Math.max(worst, await mergeMatrix(adapter, matrix, parameters.slice(`${module}.weight`), signal));
      continue;
    }
    const [, owner, kind] = WHOLE.exec(name) ?? [];
    const target = `${owner}.${kind}`;
    if (!known.has(target)) throw useless(adapter, name);
    await adapter.weights.readFloat32(name, parameters.slice(target), signal);
  }
  return worst;
}

async function mergeMatrix(
  adapter: PeftAdapter,
  { name, inner, out, kind }: Matrix,
  weight: Float32Array,
  signal: AbortSignal | undefined,
): Promise<number> {
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
  const { error, largest } = addProduct(weight, { a, b, rank, scale, lengths }, { inner, out, kind });
  if (!Number.isFinite(largest)) {
    throw new TuneyardError('weights_invalid', `the adapter's tensors of ${name} hold what is no finite number.`, {
      place: { file: join(adapter.dir, ADAPTER_WEIGHTS_FILE) },
    });
  }
  return largest > 0 ? error / largest : 0;
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

/** W + scale · B A in place, brought to its lengths. @returns the largest rounding error and the largest number */
function addProduct(
  weight: Float32Array,
  { a, b, rank, scale, lengths }: Factors,
  { inner, out, kind }: Omit<Matrix, 'name'>,
): { error: number; largest: number } {
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

/**
 * Fills parameters from an adapter that training goes on with.
 * @param saved the name of each in the file
 * @throws TuneyardError `recipe_invalid` where the recipe describes another adapter
 */
export async function continueAdapter(
  { weights, dir, config }: PeftAdapter,
  into: ParameterSet,
  saved: (name: string) => string,
  recipe: { readonly r: number; readonly lora_alpha: number; readonly use_rslora: boolean; readonly use_dora: boolean },
  signal?: AbortSignal,
): Promise<void> {
  const other = (what: string) =>
    new TuneyardError('recipe_invalid', `the adapter that training is to go on with ${what}; make "lora" the same.`, {
      place: { file: join(dir, ADAPTER_CONFIG_FILE) },
    });
  for (const key of ['r', 'lora_alpha', 'use_rslora', 'use_dora'] as const)
    if (config[key] !== recipe[key]) throw other(`has "${key}": ${config[key]}, the recipe ${recipe[key]}`);
  const left = new Set(weights.names());
  for (const { name, shape } of into.tensors) {
    const found = saved(name);
    if (!left.delete(found)) throw other(`lacks ${found}`);
    if (weights.info(found).shape.join() !== shape.join()) throw other(`has ${found} in another shape`);
    await weights.readFloat32(found, into.slice(name), signal);
  }
  const [extra] = left;
  if (extra !== undefined) throw other(`has ${extra} as well`);
}

function useless({ dir }: PeftAdapter, name: string): TuneyardError {
  return new TuneyardError('weights_invalid', `the model has no use for the adapter's tensor ${name}.`, {
    place: { file: join(dir, ADAPTER_WEIGHTS_FILE) },
  });
}
