/**
 * Moves a scale by row out of a wide operand of a matrix product:
 *
 *   Gemm(a ⊙ s, b)    = Gemm(a, b) ⊙ s          s [m, 1], a [m, k], b [k, n]
 *   Gemm((a ⊙ s)ᵀ, b) = Gemm(aᵀ, b ⊙ s)         s [k, 1], a [k, m], b [k, n]
 *
 * The gradient of a cross-entropy is (softmax − one-hot) ⊙ weight over [tokens, vocabulary]: hoisted, the weight
 * touches [tokens, hidden] instead, and a pass over the widest tensor of the whole step disappears.
 */
import type { Builder } from '../builder';
import { elementCount, type Graph, type Node, sameShape, type Value } from '../ir';
import { rewrite } from './rewrite';

export function hoistRowScales(graph: Graph, builderFor: (graph: Graph) => Builder): Graph {
  return rewrite(graph, (node, { to, map }) => {
    if (node.op !== 'Gemm' || node.inputs.length > 2) return null;
    const scaled = rowScaled(node.inputs[0]!);
    const b = node.inputs[1]!;
    if (!scaled) return null;
    const g = builderFor(to);
    const transA = Number(node.attributes.transA ?? 0) === 1;
    const transB = Number(node.attributes.transB ?? 0) === 1;
    const wide = elementCount(scaled.matrix.shape);
    return g.scope(node.place, () => {
      if (!transA && wide > elementCount(node.outputs[0]!.shape)) {
        return [g.mul(g.apply('Gemm', [map(scaled.matrix), map(b)], node.attributes), map(scaled.scale))];
      }
      if (transA && !transB && wide > elementCount(b.shape)) {
        return [g.apply('Gemm', [map(scaled.matrix), g.mul(map(b), map(scaled.scale))], node.attributes)];
      }
      return null;
    });
  });
}

function rowScaled(value: Value): { matrix: Value; scale: Value } | null {
  const { source } = value;
  if (source.kind !== 'node' || source.node.op !== 'Mul' || value.shape.length !== 2) return null;
  const [a, b] = (source.node as Node).inputs as [Value, Value];
  const isColumn = (x: Value) => sameShape(x.shape, [value.shape[0]!, 1]);
  // A row or a vector that the product stretches is no operand of a Gemm.
  const isWhole = (x: Value) => sameShape(x.shape, value.shape) && !isColumn(x);
  if (isColumn(b) && isWhole(a)) return { matrix: a, scale: b };
  if (isColumn(a) && isWhole(b)) return { matrix: b, scale: a };
  return null;
}
