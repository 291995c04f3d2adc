/**
 * Cuts a differentiated graph in two, so that something else (the loss over chunks of tokens) can run in between:
 * forward computes the results and the values that the backward half reads; backward takes those as inputs, or computes
 * them once more from a few that are kept (gradient checkpointing, Chen et al. 2016).
 */
import { Graph, type Node, type Shape, type Value } from '../graph/ir';
import { isCheapCast } from '../graph/lowPrecision';

/** A forward value that backward reads. Several may share one buffer under different shapes. */
export interface SavedValue {
  /** Name of the forward output that writes the buffer. */
  readonly buffer: string;
  /** Name of the backward input that reads it. */
  readonly input: string;
  readonly shape: Shape;
}

export interface SplitGraph {
  readonly forward: Graph;
  readonly backward: Graph;
  readonly saved: readonly SavedValue[];
  /** What a value of the graph that was split is in a half, if it is there. */
  inForward(value: Value): Value | undefined;
  inBackward(value: Value): Value | undefined;
}

/**
 * @param graph forward nodes first, then what `vjp` wrote
 * @param forwardCount how many nodes are forward
 * @param forwardOutputs results of the forward half; all other outputs of `graph` belong to backward
 * @param kept forward values that are kept where backward needs them; all others it computes again. Default: none is
 *   computed again
 */
export function splitForwardBackward(
  graph: Graph,
  forwardCount: number,
  forwardOutputs: ReadonlySet<string>,
  kept?: ReadonlySet<Value>,
): SplitGraph {
  const forwardNodes = new Set<Node>(graph.nodes.slice(0, forwardCount));
  const forward = new Copier(`${graph.name}-forward`);
  const backward = new Copier(`${graph.name}-backward`);
  const saved = new Map<string, SavedValue>();
  const buffers = new Map<Value, string>();

  for (const node of forwardNodes) forward.copy(node);
  for (const name of forwardOutputs) {
    const value = graph.outputs.get(name);
    if (value) forward.graph.setOutput(name, forward.map(value));
  }

  backward.boundary = (value) => {
    if (value.source.kind !== 'node' || !forwardNodes.has(value.source.node)) return null;
    const root = throughReshapes(value);
    if (isCheapCast(root)) {
      backward.copy(value.source.node);
      return backward.map(value);
    }
    let buffer = buffers.get(root);
    if (!buffer) {
      buffer = `saved_${root.name}`;
      buffers.set(root, buffer);
      forward.graph.setOutput(buffer, forward.map(root));
    }
    const input = `${buffer}_as_${value.shape.join('x')}`;
    saved.set(input, { buffer, input, shape: value.shape });
    return backward.graph.inputs.find((known) => known.name === input) ?? backward.graph.addInput(input, value);
  };
  const needed = neededFor(
    graph,
    [...graph.outputs].filter(([name]) => !forwardOutputs.has(name)).map(([, value]) => value),
    forwardNodes,
  );
  // These come first in the list: an operand that comes later in it is computed earlier, and that is to be the gradient
  // from above, so that a layer is computed again when its gradients are, not before.
  if (kept) for (const node of computedAgain(needed, forwardNodes, kept)) backward.copy(node);
  for (const node of graph.nodes.slice(forwardCount)) if (needed.has(node)) backward.copy(node);
  for (const [name, value] of graph.outputs)
    if (!forwardOutputs.has(name)) backward.graph.setOutput(name, backward.map(value));
  return {
    forward: forward.graph,
    backward: backward.graph,
    saved: [...saved.values()],
    inForward: (value) => forward.known(value),
    inBackward: (value) => backward.known(value),
  };
}

/** Forward nodes that `needed` reads the results of, and those that these need, back to what is kept; in their order. */
function computedAgain(needed: ReadonlySet<Node>, forward: ReadonlySet<Node>, kept: ReadonlySet<Value>): Node[] {
  const again = new Set<Node>();
  const look = (node: Node) => {
    for (const input of node.inputs) {
      if (!input || kept.has(input) || input.source.kind !== 'node') continue;
      const { node: maker } = input.source;
      if (!forward.has(maker) || again.has(maker)) continue;
      again.add(maker);
      look(maker);
    }
  };
  for (const node of needed) look(node);
  return [...forward].filter((node) => again.has(node));
}

/** A reshape has its source's bytes: only the source need be kept. */
function throughReshapes(value: Value): Value {
  let at = value;
  while (at.source.kind === 'node' && at.source.node.op === 'Reshape') {
    const from = at.source.node.inputs[0]!;
    if (from.source.kind !== 'node') break;
    at = from;
  }
  return at;
}

function neededFor(graph: Graph, outputs: readonly Value[], stop: ReadonlySet<Node>): Set<Node> {
  const wanted = new Set<Value>(outputs);
  const needed = new Set<Node>();
  for (let i = graph.nodes.length - 1; i >= 0; i--) {
    const node = graph.nodes[i]!;
    if (stop.has(node) || !node.outputs.some((output) => wanted.has(output))) continue;
    needed.add(node);
    for (const input of node.inputs) if (input) wanted.add(input);
  }
  return needed;
}

/** Copies nodes into a graph of their own; sources are copied when first read. */
export class Copier {
  readonly graph: Graph;
  boundary: ((value: Value) => Value | null) | null = null;
  private readonly mapped = new Map<Value, Value>();

  constructor(name: string) {
    this.graph = new Graph(name);
  }

  copy(node: Node): void {
    const inputs = node.inputs.map((input) => input && this.map(input));
    const made = this.graph.addNode(node.op, inputs, node.attributes, node.outputs, node.place);
    node.outputs.forEach((output, i) => {
      this.mapped.set(output, made.outputs[i]!);
    });
  }

  known(value: Value): Value | undefined {
    return this.mapped.get(value);
  }

  map(value: Value): Value {
    const known = this.mapped.get(value);
    if (known) return known;
    const made = this.boundary?.(value) ?? this.source(value);
    this.mapped.set(value, made);
    return made;
  }

  private source(value: Value): Value {
    switch (value.source.kind) {
      case 'input':
        return this.graph.addInput(value.name, value);
      case 'constant':
        return this.graph.addConstant(value.source.data, value);
      case 'external':
        return this.graph.addExternal(value.name, value, value.source.external);
      case 'node':
        throw new Error(`${value.name} is read before it is made`);
    }
  }
}
