/**
 * `Add(Gemm(a, b), c)` becomes `Gemm(a, b, c)`: biases, residuals and gradients that add up cost no pass of their own.
 * Only where nobody else reads the product.
 */
import type { Graph, Node, Value } from '../ir';
import { readers, rewrite } from './rewrite';

export function fuseGemm(graph: Graph): Graph {
  const read = readers(graph);
  const position = new Map(graph.nodes.map((node, i) => [node, i]));
  const fused = new Map<Node, { gemm: Node; addend: Value }>();
  for (const node of graph.nodes) {
    if (node.op !== 'Add') continue;
    const [a, b] = node.inputs as [Value, Value];
    for (const [product, addend] of [
      [a, b],
      [b, a],
    ] as const) {
      const { source } = product;
      if (source.kind !== 'node' || source.node.op !== 'Gemm' || source.node.inputs.length > 2) continue;
      if (read.get(product)!.length > 1 || !fitsGemm(addend, product, node.outputs[0]!)) continue;
      // Where both are Gemms, the later one takes the earlier one in.
      const other = addend.source;
      if (other.kind === 'node' && other.node.op === 'Gemm' && position.get(other.node)! > position.get(source.node)!)
        continue;
      fused.set(node, { gemm: source.node, addend });
      break;
    }
  }
  const swallowed = new Set([...fused.values()].map(({ gemm }) => gemm));
  return rewrite(graph, (node, { to, map }) => {
    if (swallowed.has(node)) return 'drop';
    const found = fused.get(node);
    if (!found) return null;
    const { gemm, addend } = found;
    return to.addNode(
      'Gemm',
      [map(gemm.inputs[0]!), map(gemm.inputs[1]!), map(addend)],
      gemm.attributes,
      node.outputs,
      gemm.place,
    ).outputs;
  });
}

/** Gemm's C is a vector of columns or a whole matrix here; anything else would broadcast the product. */
function fitsGemm(addend: Value, product: Value, sum: Value): boolean {
  if (sum.shape.length !== 2 || sum.shape.some((size, i) => size !== product.shape[i])) return false;
  if (addend.shape.length === 1) return addend.shape[0] === sum.shape[1];
  return addend.shape.length === 2 && addend.shape.every((size, i) => size === sum.shape[i]);
}
