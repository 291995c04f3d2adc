/** Floating-point operations of a graph's matrix products; everything else is noise beside them. */
import { elementCount, type Graph } from '@runner/graph/ir';

const PRODUCTS = new Set(['Gemm', 'MatMul', 'FusedMatMul']);

export function productFlops(graph: Graph): number {
  let sum = 0;
  for (const node of graph.nodes) {
    if (!PRODUCTS.has(node.op)) continue;
    const a = node.inputs[0]!.shape;
    const inner = Number(node.attributes.transA ?? 0) ? a[a.length - 2]! : a[a.length - 1]!;
    sum += 2 * elementCount(node.outputs[0]!.shape) * inner;
  }
  return sum;
}
