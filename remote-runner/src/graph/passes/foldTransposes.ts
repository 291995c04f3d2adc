/**
 * Transposes of a matrix product's operands become flags of the product, which costs nothing: Gemm has `transA` and
 * `transB`, batched products become FusedMatMul.
 */
import type { Graph, Node, Value } from '../ir';
import { rewrite } from './rewrite';

const PRODUCTS = new Set(['Gemm', 'MatMul', 'FusedMatMul']);

export function foldTransposes(graph: Graph): Graph {
  return rewrite(graph, (node, { to, map }) => {
    if (!PRODUCTS.has(node.op)) return null;
    const a = throughTranspose(node.inputs[0]!);
    const b = throughTranspose(node.inputs[1]!);
    if (!a && !b) return null;
    const flag = (name: string) => Number(node.attributes[name] ?? 0);
    const attributes = {
      ...(node.op === 'Gemm' ? node.attributes : { alpha: node.attributes.alpha ?? 1 }),
      transA: a ? 1 - flag('transA') : flag('transA'),
      transB: b ? 1 - flag('transB') : flag('transB'),
    };
    const rest = node.inputs.slice(2).map((input) => input && map(input));
    const inputs = [map(a ?? node.inputs[0]!), map(b ?? node.inputs[1]!), ...rest];
    return to.addNode(node.op === 'MatMul' ? 'FusedMatMul' : node.op, inputs, attributes, node.outputs, node.place)
      .outputs;
  });
}

/** What `value` is the transpose of, where only its last two dimensions are swapped. */
function throughTranspose(value: Value): Value | null {
  const { source } = value;
  if (source.kind !== 'node' || source.node.op !== 'Transpose') return null;
  const node: Node = source.node;
  const perm = node.attributes.perm as readonly number[];
  const rank = perm.length;
  const swapsLastTwo = rank >= 2 && perm.every((from, at) => from === (at < rank - 2 ? at : 2 * rank - 3 - at));
  return swapsLastTwo ? node.inputs[0]! : null;
}
