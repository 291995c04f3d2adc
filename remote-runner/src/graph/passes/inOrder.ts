/**
 * Puts nodes where ONNX Runtime's way of choosing the next one (see `executionOrder`) takes them in the order in which they
 * were written, so that as little as possible is alive at a time. It begins with the last node that no other reads, and
 * computes a node's latest operand first.
 *
 * So nodes that no other reads go behind all others, the earliest last: a layer's weight gradients come about, and free
 * what they are made from, before the backward pass goes on to the layer below. And what is made from next to nothing goes
 * before all others: a dropout mask is drawn when it is needed, not all of them at the start.
 */
import type { Graph, Node, Value } from '../ir';
import { rewrite } from './rewrite';

const FROM_NOTHING = new Set(['DropoutMask']);

export function inOrder(graph: Graph): Graph {
  const read = new Set<Value | null>(graph.nodes.flatMap(({ inputs }) => inputs));
  const isLeaf = ({ outputs }: Node) => !outputs.some((output) => read.has(output));
  const leaves = graph.nodes.filter(isLeaf);
  const rest = graph.nodes.filter((node) => !isLeaf(node));
  const sources = rest.filter(({ op }) => FROM_NOTHING.has(op));
  const others = rest.filter(({ op }) => !FROM_NOTHING.has(op));
  return rewrite(graph, () => null, [...sources, ...others, ...leaves.reverse()]);
}
