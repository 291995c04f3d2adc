/**
 * Reverse-mode differentiation, graph to graph: walks the nodes backwards and asks each op for its gradient, which
 * is written through the same builder. What nobody asked for is pruned before, fan-out is summed, broadcasts are
 * summed back. The rules live with the ops.
 */
import type { Builder } from '../graph/builder';
import { GraphError, isFloat, type Node, type Value } from '../graph/ir';
import { isLow, ROUNDS_ONCE } from '../graph/lowPrecision';
import { ops } from '../ops/index';
import type { GradientContext } from '../ops/op';

/** A gradient in rows: `rows[i]` adds to row `indices[i]` of the parameter. Indices repeat. */
export interface RowSparseGradient {
  /** int64 [n] */
  readonly indices: Value;
  /** [n, …rest of the parameter's shape] */
  readonly rows: Value;
}

export interface VjpResult {
  /** One an entry of `wrt`: null where nothing depends on it, or all of it is in `sparse`. */
  readonly gradients: (Value | null)[];
  readonly sparse: ReadonlyMap<Value, readonly RowSparseGradient[]>;
}

export interface VjpOptions {
  /** Parameters whose look-ups (Gather along axis 0) shall stay row-sparse instead of being scattered into a full tensor. */
  readonly rowSparse?: ReadonlySet<Value>;
}

/**
 * Vector–Jacobian product: cotangentsᵀ · ∂outputs/∂wrt.
 *
 * @param cotangents one an output, of its shape
 * @returns gradients of each `wrt`, of its shape
 * @throws GraphError where an op on the way has no rule; the message names the op and its place
 */
export function vjp(
  builder: Builder,
  outputs: readonly Value[],
  cotangents: readonly Value[],
  wrt: readonly Value[],
  options: VjpOptions = {},
): VjpResult {
  // The forward nodes have their casts, and a cast's gradient is a cast.
  return builder.withoutCasts(() => backwards(builder, outputs, cotangents, wrt, options));
}

function backwards(
  builder: Builder,
  outputs: readonly Value[],
  cotangents: readonly Value[],
  wrt: readonly Value[],
  options: VjpOptions,
): VjpResult {
  const wanted = dependents(builder, wrt);
  const contributions = new Map<Value, Value[]>();
  const sparse = new Map<Value, RowSparseGradient[]>();
  const push = (value: Value, gradient: Value) => {
    if (!wanted.has(value)) return;
    const list = contributions.get(value);
    const fitted = builder.sumTo(gradient, value.shape);
    if (list) list.push(fitted);
    else contributions.set(value, [fitted]);
  };
  outputs.forEach((output, i) => {
    push(output, cotangents[i]!);
  });

  const total = (value: Value): Value | null => {
    const list = contributions.get(value);
    if (!list || list.length === 0) return null;
    const sum = list.reduce((a, b) => builder.add(a, b));
    contributions.set(value, [sum]);
    return sum;
  };

  // The list grows while rules write to it; only what was there before is differentiated.
  const forward = builder.graph.nodes.slice();
  for (let i = forward.length - 1; i >= 0; i--) {
    const node = forward[i]!;
    if (!node.outputs.some((output) => contributions.has(output))) continue;
    if (!node.inputs.some((input) => input && wanted.has(input))) continue;
    const dOutputs = node.outputs.map(total);
    builder.scope(`grad(${node.place})`, () => {
      differentiate(builder, node, dOutputs, wanted, options.rowSparse, sparse).forEach((gradient, at) => {
        const input = node.inputs[at];
        if (gradient && input) push(input, gradient);
      });
    });
  }
  return { gradients: wrt.map(total), sparse };
}

/** Gradient of a scalar by each of `wrt`. */
export function grad(builder: Builder, loss: Value, wrt: readonly Value[], options: VjpOptions = {}): VjpResult {
  if (loss.shape.length > 0) throw new GraphError('grad wants a scalar; use vjp for tensors');
  return vjp(builder, [loss], [builder.scalar(1, loss.dtype)], wrt, options);
}

/** Values that depend on `wrt` through floats, `wrt` included. */
function dependents(builder: Builder, wrt: readonly Value[]): Set<Value> {
  const found = new Set<Value>(wrt);
  for (const node of builder.graph.nodes) {
    if (!node.inputs.some((input) => input && found.has(input))) continue;
    for (const output of node.outputs) if (isFloat(output.dtype)) found.add(output);
  }
  return found;
}

function differentiate(
  builder: Builder,
  node: Node,
  dOutputs: readonly (Value | null)[],
  wanted: ReadonlySet<Value>,
  rowSparse: ReadonlySet<Value> | undefined,
  sparse: Map<Value, RowSparseGradient[]>,
): readonly (Value | null)[] {
  const def = ops.get(node.op);
  const where = `${node.op} at ${node.place || 'the top'}`;
  if (!def) throw new GraphError(`there is no op ${node.op}`);
  const { gradient } = def;
  if (gradient.kind === 'none') return [];
  if (gradient.kind === 'unsupported') throw new GraphError(`${where} cannot be differentiated: ${gradient.why}`);
  const need = (index: number): Value => {
    const value = node.inputs[index];
    if (!value) throw new GraphError(`${where} has no input ${index}`);
    return value;
  };
  const isWide = isLow(node.outputs[0]!.dtype) && !ROUNDS_ONCE.has(node.op);
  const wide = (value: Value): Value => (isWide && isLow(value.dtype) ? builder.cast(value, 'float32') : value);
  const dWide = dOutputs.map((dOutput) => dOutput && wide(dOutput));
  const context: GradientContext = {
    g: builder,
    node,
    input: (index) => wide(need(index)),
    output: (index) => wide(node.outputs[index]!),
    get dy() {
      const dy = dWide[0];
      if (!dy) throw new GraphError(`${where}: nothing asked for the gradient of its first output`);
      return dy;
    },
    dOutputs: dWide,
    needs: (index) => {
      const value = node.inputs[index];
      return !!value && wanted.has(value);
    },
  };
  const table = node.inputs[0];
  if (table && rowSparse?.has(table) && def.sparseRows) {
    const rows = def.sparseRows(context);
    if (rows) {
      const list = sparse.get(table);
      if (list) list.push(rows);
      else sparse.set(table, [rows]);
      return [];
    }
  }
  const gradients = gradient.rule(context);
  if (!isWide) return gradients;
  return gradients.map((dInput, i) => dInput && builder.cast(dInput, need(i).dtype));
}
