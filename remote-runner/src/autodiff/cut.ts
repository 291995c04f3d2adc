/**
 * Cuts a graph into parts that run one after the other: so that the gradients of the upper layers can be on their way to
 * other ranks while those of the lower ones are being computed, or so that one layer's weights are needed at a time.
 */
import type { Graph, Node, TensorType, Value } from '../graph/ir';
import { Copier } from './split';

export interface CutGraph {
  readonly parts: readonly Graph[];
  /**
   * What one part makes and later ones read: an output there and an input here, under one name. What is an output of the
   * whole graph goes by that name and is not listed.
   */
  readonly carried: ReadonlyMap<string, TensorType>;
}

/**
 * @param graph nodes in topological order
 * @param from the input that the first part begins with
 * @param cuts values of the graph, in the order in which they are made: what is made from one of them is in a later part
 *   than it. What depends on none of these, nor on `from`, is in the first part that reads it.
 */
export function cutGraph(graph: Graph, from: Value, cuts: readonly Value[]): CutGraph {
  const behind = new Map<Value, number>([[from, 0], ...cuts.map((cut, i) => [cut, i + 1] as const)]);
  const partOf = new Map<Node, number>();
  const readAt = (value: Value): number | undefined =>
    behind.get(value) ?? (value.source.kind === 'node' ? partOf.get(value.source.node) : undefined);
  for (const node of graph.nodes) {
    const parts = node.inputs.flatMap((input) => (input && readAt(input)) ?? []);
    if (parts.length > 0) partOf.set(node, Math.max(...parts));
  }
  // Backwards, so that who reads a free node is placed before it is.
  const first = new Map<Node, number>();
  for (const node of [...graph.nodes].reverse()) {
    if (!partOf.has(node)) partOf.set(node, first.get(node) ?? 0);
    const at = partOf.get(node)!;
    for (const input of node.inputs) {
      if (input?.source.kind !== 'node') continue;
      first.set(input.source.node, Math.min(first.get(input.source.node) ?? at, at));
    }
  }

  const copiers = Array.from({ length: cuts.length + 1 }, (_, i) => new Copier(`${graph.name}-${i + 1}`));
  const carried = new Map<string, TensorType>();
  const outputNames = new Map([...graph.outputs].map(([name, value]) => [value, name]));
  copiers.forEach((copier, at) => {
    copier.boundary = (value) => {
      if (value.source.kind !== 'node') return null;
      const maker = copiers[partOf.get(value.source.node)!]!;
      const output = outputNames.get(value);
      const name = output ?? `carried_${graph.name}_${value.name}`;
      if (output === undefined && !carried.has(name)) {
        carried.set(name, { dtype: value.dtype, shape: value.shape });
        maker.graph.setOutput(name, maker.map(value));
      }
      return copiers[at]!.graph.addInput(name, value);
    };
  });
  for (const node of graph.nodes) copiers[partOf.get(node)!]!.copy(node);
  for (const [name, value] of graph.outputs) {
    const at = value.source.kind === 'node' ? partOf.get(value.source.node)! : 0;
    copiers[at]!.graph.setOutput(name, copiers[at]!.map(value));
  }
  return { parts: copiers.map(({ graph: part }) => part), carried };
}
