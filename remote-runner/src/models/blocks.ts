/** Pieces that architectures share. */
import { TuneyardError } from '@protocol/errors';
import type { Builder } from '../graph/builder';
import type { Value } from '../graph/ir';
import type { ModelConfig } from '../hub/modelDir';
import type { BodyContext, ParameterSpec } from './causalLm';
import { normal, ones, zeros } from './causalLm';

type Activation = (g: Builder, x: Value) => Value;

/** Activations by transformers' names (`ACT2FN`). */
const ACTIVATIONS: Readonly<Record<string, Activation>> = {
  gelu_new: (g, x) => g.fastGelu(x),
  gelu_pytorch_tanh: (g, x) => g.fastGelu(x),
  gelu_fast: (g, x) => g.fastGelu(x),
  gelu: (g, x) => g.gelu(x),
  relu: (g, x) => g.relu(x),
  silu: (g, x) => g.silu(x),
  swish: (g, x) => g.silu(x),
  tanh: (g, x) => g.tanh(x),
};

export function activation(name: string, file: string): Activation {
  const found = Object.hasOwn(ACTIVATIONS, name) ? ACTIVATIONS[name] : undefined;
  if (!found) {
    throw new TuneyardError(
      'model_unsupported',
      `the activation "${name}" is not supported; these are: ${Object.keys(ACTIVATIONS).join(', ')}.`,
      { place: { file } },
    );
  }
  return found;
}

export interface Table {
  /** Of [vocab, width]. */
  readonly name: string;
  /** What embeddings are multiplied by. */
  readonly scale?: number | undefined;
  /** The row that is not learnt here, as PyTorch's Embedding has its `padding_idx`. */
  readonly padding?: number | undefined;
}

/** The embeddings of the tokens, [N, width]. */
export function embedded({ g, param, ids, embed }: BodyContext, { name, scale, padding }: Table): Value {
  const weight = param(name);
  // What stands for virtual tokens takes their place after this.
  const known = embed ? g.where(g.less(ids, weight.shape[0]!), ids, g.scalar(0, 'int64')) : ids;
  let x = g.gather(weight, known);
  if (padding !== undefined) x = g.where(g.reshape(g.equal(ids, padding), [-1, 1]), g.apply('StopGradient', [x]), x);
  if (scale !== undefined) x = g.mul(x, scale);
  return embed?.(x) ?? x;
}

/** `pad_token_id`, for a table whose row of it is not learnt; below 0 it counts from the end. */
export function paddingOf(config: ModelConfig, vocab: number, fallback?: number): number | undefined {
  const id = config.pad_token_id ?? (config.pad_token_id === null ? undefined : fallback);
  if (typeof id !== 'number' || !Number.isInteger(id) || id >= vocab || id < -vocab) return undefined;
  return id < 0 ? vocab + id : id;
}

/** x [N, in] through PyTorch's Linear: weight [out, in]. */
export function linear(context: BodyContext, x: Value, name: string, bias: boolean): Value {
  return multiply(context, x, name, bias, { transB: true });
}

/** x [N, in] through GPT-2's Conv1D: weight [in, out]. */
export function conv1d(context: BodyContext, x: Value, name: string): Value {
  return multiply(context, x, name, true, {});
}

function multiply(context: BodyContext, given: Value, name: string, bias: boolean, flags: { transB?: boolean }): Value {
  const { g, param, adapt } = context;
  const x = context.into?.(name, given) ?? given;
  const summand = bias ? param(`${name}.bias`) : null;
  const other = context.product?.(name, x);
  const biased = other && (summand ? g.add(other, summand) : other);
  const y = biased ?? g.gemm(x, param(`${name}.weight`), summand, flags);
  return adapt ? adapt(name, x, y) : y;
}

/** y [N, heads · 3 · headDim], each head's query, key and value one behind the other → three of [N, heads, headDim]. */
export function splitHeads(g: Builder, y: Value, heads: number): [q: Value, k: Value, v: Value] {
  const [tokens, width] = y.shape as [number, number];
  const headDim = width / heads / 3;
  const byHead = g.reshape(y, [tokens, heads, 3 * headDim]);
  return g.split(byHead, [headDim, headDim, headDim], 2) as [Value, Value, Value];
}

export function norm({ g, param }: BodyContext, x: Value, name: string, epsilon: number): Value {
  return g.layerNorm(x, param(`${name}.weight`), param(`${name}.bias`), epsilon);
}

export function linearSpecs(name: string, out: number, inner: number, bias: boolean, std: number): ParameterSpec[] {
  const weight: ParameterSpec = {
    ...{ name: `${name}.weight`, shape: [out, inner], decay: true, init: normal(std) },
    matrix: 'linear',
  };
  return bias ? [weight, biasSpec(name, out)] : [weight];
}

export function conv1dSpecs(name: string, inner: number, out: number, std: number): ParameterSpec[] {
  const weight = { name: `${name}.weight`, shape: [inner, out], decay: true, init: normal(std) } as const;
  return [{ ...weight, matrix: 'conv1d' }, biasSpec(name, out)];
}

export function normSpecs(name: string, size: number): ParameterSpec[] {
  return [{ name: `${name}.weight`, shape: [size], decay: false, init: ones }, biasSpec(name, size)];
}

function biasSpec(name: string, size: number): ParameterSpec {
  return { name: `${name}.bias`, shape: [size], decay: false, init: zeros };
}

export function divisible(size: number, heads: number, what: string, file: string): number {
  if (size % heads !== 0) {
    throw new TuneyardError('model_invalid', `${what} ${size} is not a multiple of the ${heads} attention heads.`, {
      place: { file },
    });
  }
  return size / heads;
}

/** Refuses settings that change the arithmetic and that we do not know. */
export function refuse(config: ModelConfig, key: string, allowed: readonly unknown[], file: string): void {
  const value = config[key];
  if (value === undefined || value === null || allowed.includes(value)) return;
  throw new TuneyardError('model_unsupported', `"${key}": ${JSON.stringify(value)} is not supported.`, {
    place: { file },
  });
}
