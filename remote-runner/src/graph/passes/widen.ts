/**
 * For devices that lack kernels of 16 bits: such a node computes in float32, its operands cast before and its results
 * after it. Values stay what they were, rounded where they were; only what is in between is wider.
 */
import type { Builder } from '../builder';
import type { Graph } from '../ir';
import { isLow } from '../lowPrecision';
import { rewrite } from './rewrite';

/** @param hasKernel whether the device computes such an op on 16-bit numbers itself */
export function widen(graph: Graph, builderFor: (graph: Graph) => Builder, hasKernel: (op: string) => boolean): Graph {
  return rewrite(graph, (node, { to, map }) => {
    if (node.op === 'Cast' || hasKernel(node.op)) return null;
    const isTouched = [...node.inputs, ...node.outputs].some((value) => value && isLow(value.dtype));
    if (!isTouched) return null;
    const g = builderFor(to);
    return g.scope(node.place, () => {
      const inputs = node.inputs.map((input) => {
        if (!input) return null;
        const value = map(input);
        return isLow(value.dtype) ? g.cast(value, 'float32') : value;
      });
      const computed = g.node(node.op, inputs, node.attributes);
      return node.outputs.map((output, i) => g.cast(computed.outputs[i]!, output.dtype));
    });
  });
}
