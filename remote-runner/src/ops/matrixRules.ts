/** Shape rules of matrix products. */
import type { Builder } from '../graph/builder';
import { elementCount, formatShape, GraphError, type Shape, type TensorType, type Value } from '../graph/ir';
import { broadcastShapes } from '../graph/shape';
import { requireFloat, requireRank, requireSameDType } from './typeRules';

/** Type of op(a) · op(b). @throws GraphError where the inner or the leading dimensions do not fit */
export function productType(a: TensorType, b: TensorType, transA: boolean, transB: boolean): TensorType {
  requireFloat(a);
  requireSameDType(a, b);
  requireRank(a, 'the left matrix', 2);
  requireRank(b, 'the right matrix', 2);
  const [m, k] = lastTwo(a.shape, transA);
  const [inner, n] = lastTwo(b.shape, transB);
  if (k !== inner) {
    const flags = `${transA ? ' transposed' : ''} and ${formatShape(b.shape)}${transB ? ' transposed' : ''}`;
    throw new GraphError(`matrices ${formatShape(a.shape)}${flags} do not multiply: ${k} columns, ${inner} rows`);
  }
  return { dtype: a.dtype, shape: [...broadcastShapes(a.shape.slice(0, -2), b.shape.slice(0, -2)), m, n] };
}

function lastTwo(shape: Shape, swap: boolean): [number, number] {
  const [rows, columns] = [shape.at(-2)!, shape.at(-1)!];
  return swap ? [columns, rows] : [rows, columns];
}

/** [.., m, k] as [.. · m, k]. */
export function asMatrix(g: Builder, x: Value): Value {
  const width = x.shape.at(-1)!;
  return g.reshape(x, [width === 0 ? 0 : elementCount(x.shape) / width, width]);
}
