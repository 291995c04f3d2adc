/** Puts kernels in the place of what they stand for; that is then dead where nobody wants its gradient. */
import type { Graph } from '../ir';
import { rewrite } from './rewrite';

export function standIns(graph: Graph): Graph {
  if (!graph.nodes.some(({ op }) => op === 'StandsFor')) return graph;
  return rewrite(graph, ({ op, inputs }, { map }) => (op === 'StandsFor' ? [map(inputs[0]!)] : null));
}
