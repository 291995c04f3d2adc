/** Evaluates nodes whose inputs are all constants, where the op knows how and the result stays small. */
import type { OpRegistry } from '../../ops/op';
import { type ConstantData, elementCount, type Graph } from '../ir';
import { rewrite } from './rewrite';

/** A folded result above this many elements would make the model larger than it saves time. */
const MAX_FOLDED = 65_536;

export function foldConstants(graph: Graph, ops: OpRegistry): Graph {
  return rewrite(graph, (node, { to, map }) => {
    const fold = ops.get(node.op)?.fold;
    if (!fold || node.outputs.some((output) => elementCount(output.shape) > MAX_FOLDED)) return null;
    const data: ConstantData[] = [];
    for (const input of node.inputs) {
      const value = input && map(input);
      if (value?.source.kind !== 'constant') return null;
      data.push(value.source.data);
    }
    const results = fold(data, node);
    return results && node.outputs.map((output, i) => to.addConstant(results[i]!, output));
  });
}
