/** Shape arithmetic shared by the ops' shape rules. */
import { elementCount, formatShape, GraphError, type Shape } from './ir';

/** Multidirectional broadcasting (ONNX "Broadcasting", NumPy's rule): dimensions align at the right, 1 stretches. */
export function broadcastShapes(...shapes: Shape[]): number[] {
  const rank = Math.max(0, ...shapes.map((s) => s.length));
  const out = new Array<number>(rank).fill(1);
  for (const shape of shapes) {
    for (let i = 0; i < shape.length; i++) {
      const at = rank - shape.length + i;
      const size = shape[i]!;
      if (size === 1) continue;
      if (out[at] !== 1 && out[at] !== size)
        throw new GraphError(`shapes ${shapes.map(formatShape).join(' and ')} do not broadcast`);
      out[at] = size;
    }
  }
  return out;
}

/** Axes of `from` that must be summed, so that a gradient of shape `from` fits an operand of shape `to` that was broadcast. */
export function broadcastAxes(from: Shape, to: Shape): number[] {
  const lead = from.length - to.length;
  const axes: number[] = [];
  for (let i = 0; i < from.length; i++) {
    if (i < lead || (to[i - lead] === 1 && from[i] !== 1)) axes.push(i);
  }
  return axes;
}

export function normalizeAxis(axis: number, rank: number): number {
  const at = axis < 0 ? axis + rank : axis;
  if (!Number.isInteger(at) || at < 0 || at >= rank)
    throw new GraphError(`axis ${axis} is outside a tensor of rank ${rank}`);
  return at;
}

export function normalizeAxes(axes: readonly number[], rank: number): number[] {
  return axes.map((axis) => normalizeAxis(axis, rank)).sort((a, b) => a - b);
}

export function reduceShape(shape: Shape, axes: readonly number[], keepDims: boolean): number[] {
  const reduced = new Set(normalizeAxes(axes, shape.length));
  const out: number[] = [];
  shape.forEach((size, i) => {
    if (!reduced.has(i)) out.push(size);
    else if (keepDims) out.push(1);
  });
  return out;
}

/** Fills in one −1. */
export function resolveReshape(from: Shape, to: readonly number[]): number[] {
  const total = elementCount(from);
  const hole = to.indexOf(-1);
  const known = to.reduce((n, size) => (size === -1 ? n : n * size), 1);
  const out = [...to];
  if (hole >= 0) out[hole] = total / known;
  if (elementCount(out) !== total || out.some((size) => !Number.isInteger(size) || size < 0)) {
    throw new GraphError(`cannot reshape ${formatShape(from)} to ${formatShape(to)}`);
  }
  return out;
}

export function inversePermutation(perm: readonly number[]): number[] {
  const out = new Array<number>(perm.length);
  perm.forEach((from, to) => {
    out[from] = to;
  });
  return out;
}
