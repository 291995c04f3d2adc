/**
 * Rotary position embeddings (Su et al. 2021), as transformers' `modeling_rope_utils` computes them: of each head the
 * first half of the rotated dimensions goes with the second half.
 */
import { TuneyardError } from '@protocol/errors';
import type { Builder } from '../graph/builder';
import type { Value } from '../graph/ir';
import { requireNumber, requireString } from '../hub/configValues';
import type { ModelConfig } from '../hub/modelDir';

export interface Rotary {
  /** [dim / 2], in radians a position; dim: the dimensions of a head that are rotated. */
  readonly frequencies: Float32Array;
  /** Queries and keys are multiplied by it. */
  readonly scaling: number;
  /** Positions that it is right for, where they are fewer than the configuration claims. */
  readonly maxPositions?: number;
}

interface RotaryOptions {
  readonly headDim: number;
  readonly theta: number;
  /** Names a group of `rope_parameters` where kinds of layers have one each. */
  readonly layerType?: string;
}

/**
 * What a `config.json` says: `rope_parameters`, or `rope_theta` with `rope_scaling`, as it was called before.
 * @throws TuneyardError `model_unsupported` for kinds that are not known, `model_invalid`
 */
export function rotaryOf(config: ModelConfig, file: string, { headDim, theta, layerType }: RotaryOptions): Rotary {
  const all = objectOf(config.rope_parameters);
  const grouped = layerType === undefined ? undefined : objectOf(all?.[layerType]);
  const given = grouped ?? all ?? objectOf(config.rope_scaling) ?? {};
  const parameters: ModelConfig = { model_type: config.model_type, ...given };
  const base = requireNumber(parameters, 'rope_theta', file, number(config.rope_theta) ?? theta);
  const share = number(parameters.partial_rotary_factor) ?? number(config.partial_rotary_factor) ?? 1;
  const dim = Math.floor(headDim * share);
  const frequencies = Float32Array.from({ length: Math.floor(dim / 2) }, (_, i) => 1 / base ** ((2 * i) / dim));
  const type = requireString(parameters, 'rope_type', file, text(parameters.type) ?? 'default');
  switch (type) {
    case 'default':
    case 'mrope':
    // Within the positions that the model was trained on it is the default.
    case 'dynamic':
      return { frequencies, scaling: 1 };
    case 'linear': {
      const factor = requireNumber(parameters, 'factor', file);
      return { frequencies: frequencies.map((frequency) => frequency / factor), scaling: 1 };
    }
    case 'llama3':
      return { frequencies: llama3(frequencies, parameters, file), scaling: 1 };
    case 'su':
    case 'longrope':
      return longRope(frequencies, config, parameters, file);
    default:
      throw new TuneyardError('model_unsupported', `position embeddings of the kind "${type}" are not supported.`, {
        place: { file },
      });
  }
}

/** Llama 3.1: slow rotations are slowed down further, fast ones stay, those between are blended. */
function llama3(frequencies: Float32Array, parameters: ModelConfig, file: string): Float32Array {
  const factor = requireNumber(parameters, 'factor', file);
  const low = requireNumber(parameters, 'low_freq_factor', file);
  const high = requireNumber(parameters, 'high_freq_factor', file);
  const positions = requireNumber(parameters, 'original_max_position_embeddings', file);
  return frequencies.map((frequency) => {
    const wavelength = (2 * Math.PI) / frequency;
    if (wavelength < positions / high) return frequency;
    if (wavelength > positions / low) return frequency / factor;
    const smooth = (positions / wavelength - low) / (high - low);
    return ((1 - smooth) * frequency) / factor + smooth * frequency;
  });
}

/** Phi-3: each rotation has a factor of its own. Those for short texts hold up to the positions trained on first. */
function longRope(frequencies: Float32Array, config: ModelConfig, parameters: ModelConfig, file: string): Rotary {
  const factors = parameters.short_factor;
  if (!Array.isArray(factors) || factors.length !== frequencies.length || !factors.every(Number.isFinite)) {
    throw new TuneyardError('model_invalid', `"short_factor" must be a list of ${frequencies.length} numbers.`, {
      place: { file },
    });
  }
  const all = requireNumber(config, 'max_position_embeddings', file);
  const first =
    number(parameters.original_max_position_embeddings) ?? number(config.original_max_position_embeddings) ?? all;
  const scale = number(parameters.factor) ?? all / first;
  const scaling = scale <= 1 ? 1 : Math.sqrt(1 + Math.log(scale) / Math.log(first));
  return {
    frequencies: frequencies.map((frequency, i) => frequency / factors[i]),
    scaling: number(parameters.attention_factor) ?? scaling,
    maxPositions: first,
  };
}

/** Of N tokens. Always float32: half a rotation is lost in 16 bits. */
export interface Rotations {
  /** [N, dim / 2] each. */
  readonly cos: Value;
  readonly sin: Value;
  /** int64 [1, N]: 0 to N − 1. */
  readonly rows: Value;
}

export function rotations(g: Builder, positions: Value, { frequencies, scaling }: Rotary): Rotations {
  const [tokens] = positions.shape as [number];
  const at = g.reshape(g.cast(positions, 'float32'), [tokens, 1]);
  const angles = g.mul(at, g.constant(frequencies, 'float32', [1, frequencies.length]));
  const scaled = (x: Value) => (scaling === 1 ? x : g.mul(x, scaling));
  const rows = BigInt64Array.from({ length: tokens }, (_, i) => BigInt(i));
  return {
    cos: scaled(g.apply('Cos', [angles])),
    sin: scaled(g.apply('Sin', [angles])),
    rows: g.constant(rows, 'int64', [1, tokens]),
  };
}

/** x [N, heads, headDim]: its first dimensions turned by their positions' angles, the others as they are. */
export function rotate(g: Builder, x: Value, { cos, sin, rows }: Rotations): Value {
  const [tokens, heads, headDim] = x.shape as [number, number, number];
  const dim = 2 * cos.shape[1]!;
  const turned = g.apply('RotaryEmbedding', [g.reshape(x, [1, tokens, heads * headDim]), rows, cos, sin], {
    num_heads: heads,
    rotary_embedding_dim: dim === headDim ? 0 : dim,
  });
  return g.reshape(turned, x.shape);
}

const objectOf = (value: unknown): Record<string, unknown> | undefined =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : undefined;
const number = (value: unknown) => (typeof value === 'number' && Number.isFinite(value) ? value : undefined);
const text = (value: unknown) => (typeof value === 'string' ? value : undefined);
