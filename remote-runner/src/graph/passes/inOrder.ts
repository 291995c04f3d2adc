/**
 * Puts nodes where ONNX Runtime's way of choosing the next one (see `executionOrder`) takes them in the order in which they
 * were written, so that as little as possible is alive at a time. It begins with the last node that no other reads, and
 * computes a node's latest operand first.
 *
 * So nodes that no other reads go behind all others, the one that can be computed first last: a layer's weight gradients come about, and free
 * what they are made from, before the backward pass goes on to the layer below. And what is made from next to nothing goes
 * before all others: a dropout mask is drawn when it is needed, not all of them at the start.
 */
import type { Graph, Node, Value } from '../ir';
import { rewrite } from './rewrite';

const FROM_NOTHING = new Set(['DropoutMask']);

/** Written wherever it was convenient: it can be made as soon as its operand is there. */
const TRANSPARENT = new Set(['Transpose', 'Reshape', 'Cast']);

export function inOrder(graph: Graph): Graph {
  const readers = new Map<Value | null, number>();
  for (const { inputs } of graph.nodes)
    for (const input of new Set(inputs)) readers.set(input, (readers.get(input) ?? 0) + 1);
  const isLeaf = ({ outputs }: Node) => !outputs.some((output) => readers.has(output));
  const rest = graph.nodes.filter((node) => !isLeaf(node));
  const makers = new Map<Value | null, { node: Node; at: number }>();
  rest.forEach((node, at) => {
    for (const output of node.outputs) makers.set(output, { node, at });
  });
  // When what it shares with others is there. What only it reads may be written late: a gradient is turned over, then
  // added to what was there, behind all others.
  const ready = (leaf: Node): number => {
    let latest = -1;
    const open = [leaf];
    for (let node = open.pop(); node; node = open.pop()) {
      for (const input of node.inputs) {
        const maker = makers.get(input);
        if (!maker) continue;
        const isOwn = readers.get(input) === 1 && maker.node.outputs.length === 1;
        if (isOwn || TRANSPARENT.has(maker.node.op)) open.push(maker.node);
        else latest = Math.max(latest, maker.at);
      }
    }
    return latest;
  };
  const leaves = graph.nodes
    .filter(isLeaf)
    .reverse()
    .map((node) => ({ node, at: ready(node) }))
    .sort((a, b) => b.at - a.at)
    .map(({ node }) => node);
  const sources = rest.filter(({ op }) => FROM_NOTHING.has(op));
  const others = rest.filter(({ op }) => !FROM_NOTHING.has(op));
  return rewrite(graph, () => null, [...sources, ...others, ...leaves]);
}
