/** How much memory a graph's values in between need at most: what an engine's allocator will hold. */
import { byteLength, type Graph, type Value } from './ir';

/** Ops whose result may take the place of their first operand, where nobody reads that any more. */
const IN_PLACE = new Set([
  'Add',
  'Sub',
  'Mul',
  'Div',
  'Neg',
  'Sqrt',
  'Exp',
  'Log',
  'Tanh',
  'Sigmoid',
  'Relu',
  'Reshape',
  'ScatterElements',
]);

/**
 * The largest sum of bytes of values alive at once, run in the order of the nodes. Inputs, constants and results are
 * not counted: somebody else owns them.
 */
export function peakWorkingBytes(graph: Graph): number {
  const owned = new Set<Value>(graph.outputs.values());
  const lastUse = new Map<Value, number>();
  graph.nodes.forEach((node, at) => {
    for (const input of node.inputs) if (input) lastUse.set(input, at);
  });
  let live = 0;
  let peak = 0;
  graph.nodes.forEach((node, at) => {
    const dying = [...new Set(node.inputs)].filter(
      (input): input is Value => input?.source.kind === 'node' && !owned.has(input) && lastUse.get(input) === at,
    );
    const made = node.outputs.filter((output) => !owned.has(output) && lastUse.has(output));
    const reused = IN_PLACE.has(node.op)
      ? dying.find((input) => made[0] && byteLength(input) >= byteLength(made[0]))
      : undefined;
    // A reused operand's bytes stay counted, under the result's name.
    live += made.reduce((sum, output) => sum + byteLength(output), 0) - (reused ? byteLength(made[0]!) : 0);
    peak = Math.max(peak, live);
    live -= dying.reduce((sum, input) => sum + byteLength(input), 0) - (reused ? byteLength(made[0]!) : 0);
  });
  return peak;
}
