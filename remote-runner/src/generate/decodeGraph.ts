/**
 * The two graphs of cached decoding. Both are the model's own `body` with another way to attend: prefill runs whole
 * prompts and hands out each layer's keys and values; a step runs one token a row against the cache.
 */
import type { Builder } from '../graph/builder';
import type { Graph, Value } from '../graph/ir';
import { capped, causalAttention } from '../models/attention';
import type { Attend, CausalLm } from '../models/causalLm';
import { parameterInputs } from '../models/parameterInputs';

/** Names of inputs and outputs; a parameter goes by its own name. */
export const DECODE = {
  /** int64 [B, T]; T is 1 in a step. */
  ids: 'ids',
  /** int64 [B, T] */
  positions: 'positions',
  /** Prefill only, int64 [B]: where each prompt's last token lies among the B · T. */
  last: 'last',
  /** float32 [B, vocabSize] */
  logits: 'logits',
  /** float32 [B, kvHeads, capacity, headDim] */
  pastKey: (layer: number) => `past_key:${layer}`,
  pastValue: (layer: number) => `past_value:${layer}`,
  /** float32 [B, kvHeads, T, headDim] */
  key: (layer: number) => `key:${layer}`,
  value: (layer: number) => `value:${layer}`,
  /** float32 [B, 1, 1, capacity], added to the scores of layers that see `window` tokens. */
  mask: (window: number) => `mask:${window}`,
} as const;

export interface StepGraph {
  readonly graph: Graph;
  /** How many tokens back layers see, the new one included: one mask each. Infinity where the cache sets the limit. */
  readonly windows: readonly number[];
}

/** Whole prompts, padded on the right: logits behind each one's last token, keys and values of all. */
export function buildPrefill(g: Builder, model: CausalLm, { batch, length }: { batch: number; length: number }): Graph {
  const last = g.input(DECODE.last, 'int64', [batch]);
  const attend = causalAttention(g, {
    batch,
    length,
    onKeyValue: (layer, key, value) => outputKeyValue(g, layer, key, value),
  });
  const { hidden, param } = body(g, model, inputs(g, [batch, length]), attend);
  outputLogits(g, model, g.gather(hidden, last), param);
  return g.graph;
}

/** One more token a row. What lies in the cache is told by the masks; the caller puts the new keys and values into it. */
export function buildStep(
  g: Builder,
  model: CausalLm,
  { rows, capacity }: { rows: number; capacity: number },
): StepGraph {
  const { kvHeads, headDim } = model;
  const groups = model.heads / kvHeads;
  const masks = new Map<number, Value>();
  const mask = (window: number): Value => {
    let found = masks.get(window);
    if (!found) {
      found = g.input(DECODE.mask(window), 'float32', [rows, 1, 1, capacity]);
      masks.set(window, found);
    }
    return found;
  };
  const places = inputs(g, [rows, 1]);
  const attend: Attend = (q, k, v, { layer, scale, softcap, slopes, window = Number.POSITIVE_INFINITY }) => {
    // With one token a row, heads lie in memory as attention wants them: no transposes.
    const query = g.reshape(q, [rows, kvHeads, groups, headDim]);
    const key = g.reshape(k, [rows, kvHeads, 1, headDim]);
    const value = g.reshape(v, [rows, kvHeads, 1, headDim]);
    outputKeyValue(g, layer, key, value);
    const past = [rows, kvHeads, capacity, headDim];
    const pastKey = g.input(DECODE.pastKey(layer), 'float32', past);
    const pastValue = g.input(DECODE.pastValue(layer), 'float32', past);
    // The cache is never joined with the new token: only the scores are, a headDim-th of the bytes.
    const pastScores = capped(g, g.fusedMatMul(query, pastKey, { transB: true, alpha: scale }), softcap);
    const fallen = slopes ? g.add(pastScores, falling(g, slopes, places.positions, capacity)) : pastScores;
    const masked = g.add(fallen, mask(window > capacity ? Number.POSITIVE_INFINITY : window));
    const newScore = capped(g, g.fusedMatMul(query, key, { transB: true, alpha: scale }), softcap);
    const probabilities = g.softmax(g.concat([masked, newScore], 3));
    const [ofPast, ofNew] = g.split(probabilities, [capacity, 1], 3) as [Value, Value];
    const context = g.add(g.matMul(ofPast, pastValue), g.mul(ofNew, value));
    return g.reshape(context, [rows, model.heads * headDim]);
  };
  const { hidden, param } = body(g, model, places, attend);
  outputLogits(g, model, hidden, param);
  return { graph: g.graph, windows: [...masks.keys()] };
}

function outputLogits(g: Builder, model: CausalLm, hidden: Value, param: (name: string) => Value): void {
  const logits = g.gemm(hidden, param(model.headWeight), null, { transB: true });
  g.output(DECODE.logits, capped(g, logits, model.logitSoftcap));
}

function outputKeyValue(g: Builder, layer: number, key: Value, value: Value): void {
  g.output(DECODE.key(layer), key);
  g.output(DECODE.value(layer), value);
}

interface Tokens {
  /** int64 [N] each. */
  readonly ids: Value;
  readonly positions: Value;
}

function inputs(g: Builder, shape: readonly [number, number]): Tokens {
  const flat = (name: string) => g.reshape(g.input(name, 'int64', shape), [shape[0] * shape[1]]);
  return { ids: flat(DECODE.ids), positions: flat(DECODE.positions) };
}

/** [rows, heads, 1, capacity]: a token lies at its position in the cache. */
function falling(g: Builder, slopes: Float32Array, positions: Value, capacity: number): Value {
  const rows = positions.shape[0]!;
  const places = g.constant(
    Float32Array.from({ length: capacity }, (_, i) => i),
    'float32',
    [1, 1, 1, capacity],
  );
  const distances = g.sub(places, g.reshape(g.cast(positions, 'float32'), [rows, 1, 1, 1]));
  return g.mul(distances, g.constant(slopes, 'float32', [1, slopes.length, 1, 1]));
}

function body(g: Builder, model: CausalLm, tokens: Tokens, attend: Attend) {
  const { param } = parameterInputs(g, model);
  return { param, hidden: model.body({ g, ...tokens, param, attend, dropout: (x) => x }) };
}
