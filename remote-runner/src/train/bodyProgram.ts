/**
 * The body of a model compiled for one batch shape: token ids to hidden states and, for training, the gradients of
 * the parameters from the gradient of the hidden states.
 */

import { type CutGraph, cutGraph } from '../autodiff/cut';
import { vjp } from '../autodiff/grad';
import { type SavedValue, splitForwardBackward } from '../autodiff/split';
import type { Builder } from '../graph/builder';
import type { Graph, Node, Shape, TensorType, Value } from '../graph/ir';
import { causalAttention } from '../models/attention';
import type { CausalLm } from '../models/causalLm';
import { parameterInputs } from '../models/parameterInputs';

export interface BatchShape {
  readonly batch: number;
  readonly length: number;
  /** N: rows that hold the batch's real tokens, packed; B · T where nothing is packed. */
  readonly tokens: number;
}

/** Names of inputs and outputs of the body's graphs; a parameter goes by its own name. */
export const BODY = {
  ids: 'ids',
  positions: 'positions',
  /** Only where tokens are packed: see {@link Packing}. */
  rowOfPlace: 'row_of_place',
  placeOfRow: 'place_of_row',
  seed: 'seed',
  hidden: 'hidden',
  dHidden: 'd_hidden',
  grad: (name: string) => `grad:${name}`,
  gradSoFar: (name: string) => `grad_so_far:${name}`,
  rowIndices: (name: string, i: number) => `row_indices:${i}:${name}`,
  rows: (name: string, i: number) => `rows:${i}:${name}`,
} as const;

/** A parameter whose gradient comes in rows to be added on the host. */
export interface RowSparseOutput {
  readonly parameter: string;
  readonly indices: string;
  readonly rows: string;
  readonly rowsShape: Shape;
}

export interface TrainingGraphs {
  /** To be run one after the other, as those of `backward`. */
  readonly forward: readonly Graph[];
  readonly backward: readonly Graph[];
  readonly saved: readonly SavedValue[];
  /** What `saved` lies in: outputs of the forward half. */
  readonly buffers: ReadonlyMap<string, TensorType>;
  /** What one part of a half makes and later ones read. */
  readonly carried: ReadonlyMap<string, TensorType>;
  /** Parameters whose full gradient the backward graph writes. */
  readonly dense: readonly string[];
  readonly rowSparse: readonly RowSparseOutput[];
}

/**
 * Forward only, without dropout: for evaluation. `byLayer`: a part for each layer, and one for the embedding; `fused`: one
 * kernel for attention.
 */
export function buildEvaluation(
  g: Builder,
  model: CausalLm,
  shape: BatchShape,
  { byLayer = false, fused = false } = {},
): CutGraph {
  const entered: Value[] = [];
  g.output(BODY.hidden, body(g, model, shape, fused, (x) => entered.push(x), null).hidden);
  return byLayer ? cutForward(g.graph, entered) : { parts: [g.graph], carried: new Map() };
}

/** @param entered what enters each layer, and what leaves the last */
function cutForward(graph: Graph, entered: readonly Value[]): CutGraph {
  const ids = graph.inputs.find(({ name }) => name === BODY.ids)!;
  return cutGraph(graph, ids, entered.slice(0, -1));
}

export interface TrainingOptions {
  /** Names of the parameters that are trained; no gradient is computed for the others. */
  readonly trainable: ReadonlySet<string>;
  /** Add gradients to what is there instead of replacing it. */
  readonly accumulate: boolean;
  /** Keep only what enters each layer, and compute the rest again in the backward half. */
  readonly checkpointing: boolean;
  /**
   * Parts of the backward half, as many as there are layers at most; `byLayer`: in both halves one for each layer, and
   * one for the embedding. Default 1.
   */
  readonly parts?: number | 'byLayer';
  /** One kernel for attention forwards, where it can do that. Default false. */
  readonly fused?: boolean;
}

export function buildTraining(
  g: Builder,
  model: CausalLm,
  shape: BatchShape,
  { trainable, accumulate, checkpointing, parts = 1, fused = false }: TrainingOptions,
): TrainingGraphs {
  const entered = new Set<Value>();
  const again = new Set<Node>();
  const { hidden, parameters } = body(g, model, shape, fused, (x) => entered.add(x), {
    seed: () => g.input(BODY.seed, 'int64', []),
    computedAgain: (make) => {
      const from = g.graph.nodes.length;
      const made = make();
      for (const node of g.graph.nodes.slice(from)) again.add(node);
      return made;
    },
  });
  const forwardCount = g.graph.nodes.length;
  g.output(BODY.hidden, hidden);
  const dHidden = g.input(BODY.dHidden, 'float32', hidden.shape);

  const names = [...parameters.keys()].filter((name) => trainable.has(name));
  const wrt = names.map((name) => parameters.get(name)!);
  // The gradients of what enters layers are where the backward half is cut.
  const reached = dependingOn(wrt, g.graph.nodes);
  const borders = bordersOf([...entered], parts).filter((border) => reached.has(border));
  const { gradients, sparse } = vjp(g, [hidden], [dHidden], [...wrt, ...borders], { rowSparse: new Set(wrt) });
  const dense: string[] = [];
  const rowSparse: RowSparseOutput[] = [];
  names.forEach((name, at) => {
    const gradient = gradients[at];
    if (gradient) {
      dense.push(name);
      const soFar = accumulate ? g.input(BODY.gradSoFar(name), 'float32', gradient.shape) : null;
      g.output(BODY.grad(name), soFar ? g.add(gradient, soFar) : gradient);
    }
    (sparse.get(wrt[at]!) ?? []).forEach(({ indices, rows }, i) => {
      const output = {
        parameter: name,
        indices: BODY.rowIndices(name, i),
        rows: BODY.rows(name, i),
        rowsShape: rows.shape,
      };
      g.output(output.indices, indices);
      g.output(output.rows, rows);
      rowSparse.push(output);
    });
  });
  const kept = checkpointing ? entered : allBut(again, g.graph.nodes.slice(0, forwardCount));
  const halves = splitForwardBackward(g.graph, forwardCount, new Set([BODY.hidden]), kept);
  const { forward, backward, saved, inForward, inBackward } = halves;
  const cuts = gradients.slice(wrt.length).flatMap((gradient) => (gradient && inBackward(gradient)) ?? []);
  const start = inBackward(dHidden);
  const whole = (graph: Graph): CutGraph => ({ parts: [graph], carried: new Map() });
  const back = start && cuts.length > 0 ? cutGraph(backward, start, cuts) : whole(backward);
  const there =
    parts === 'byLayer'
      ? cutForward(
          forward,
          [...entered].flatMap((x) => inForward(x) ?? []),
        )
      : whole(forward);
  return {
    forward: there.parts,
    backward: back.parts,
    saved,
    buffers: new Map(saved.map(({ buffer }) => [buffer, forward.outputs.get(buffer)!])),
    carried: new Map([...there.carried, ...back.carried]),
    dense,
    rowSparse,
  };
}

/**
 * What layers are cut at into so many parts of the same size, from the last layer to the first.
 * @param entered what enters each layer, and what leaves the last
 */
function bordersOf(entered: readonly Value[], parts: number | 'byLayer'): Value[] {
  if (parts === 'byLayer') return entered.slice(0, -1).reverse();
  const layers = entered.length - 1;
  const count = Math.min(parts, layers);
  return Array.from({ length: Math.max(0, count - 1) }, (_, i) => {
    const behind = Math.round(((i + 1) * layers) / count);
    return entered[layers - behind]!;
  });
}

/** What nothing that is trained goes into needs no gradient. */
function dependingOn(values: readonly Value[], nodes: readonly Node[]): Set<Value> {
  const found = new Set(values);
  for (const { inputs, outputs } of nodes)
    if (inputs.some((input) => input && found.has(input))) for (const output of outputs) found.add(output);
  return found;
}

/** What is kept where only these nodes are computed again; undefined where there are none. */
function allBut(again: ReadonlySet<Node>, nodes: readonly Node[]): Set<Value> | undefined {
  if (again.size === 0) return undefined;
  return new Set(nodes.filter((node) => !again.has(node)).flatMap(({ outputs }) => outputs));
}

function body(
  g: Builder,
  model: CausalLm,
  { batch, length, tokens }: BatchShape,
  fused: boolean,
  enters: (x: Value) => void,
  training: {
    seed: () => Value;
    computedAgain: (make: () => Value) => Value;
  } | null,
) {
  const ids = g.input(BODY.ids, 'int64', [tokens]);
  const positions = g.input(BODY.positions, 'int64', [tokens]);
  const packing =
    tokens < batch * length
      ? {
          rowOfPlace: g.input(BODY.rowOfPlace, 'int64', [batch * length]),
          placeOfRow: g.input(BODY.placeOfRow, 'int64', [tokens]),
        }
      : undefined;
  const { param, declared: parameters } = parameterInputs(g, model);
  let seed: Value | undefined;
  let sites = 0;
  const dropout = (x: Value, p: number): Value => {
    if (!training || p === 0) return x;
    seed ??= training.seed();
    return g.mul(x, g.apply('DropoutMask', [seed], { shape: x.shape, p, layer: sites++ }));
  };
  const hidden = model.body({
    g,
    ids,
    positions,
    dropout,
    enters,
    ...(training && { computedAgain: training.computedAgain }),
    attend: causalAttention(g, {
      batch,
      length,
      packing,
      fused,
      ...(training && model.attentionDropout > 0 && { dropout: (x: Value) => dropout(x, model.attentionDropout) }),
      ...(training && { computedAgain: training.computedAgain }),
    }),
    param,
  });
  return { hidden, parameters };
}
