/** Drops nodes that no result depends on. Inputs stay: they are the graph's signature. */
import type { Graph, Node, Value } from '../ir';
import { rewrite } from './rewrite';

export function deadCode(graph: Graph): Graph {
  const needed = new Set<Value>(graph.outputs.values());
  const live = new Set<Node>();
  for (let i = graph.nodes.length - 1; i >= 0; i--) {
    const node = graph.nodes[i]!;
    if (!node.outputs.some((output) => needed.has(output))) continue;
    live.add(node);
    for (const input of node.inputs) if (input) needed.add(input);
  }
  return rewrite(graph, (node) => (live.has(node) ? null : 'drop'));
}
