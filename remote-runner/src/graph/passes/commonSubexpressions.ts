/** Merges nodes that compute the same: same op, same inputs, same attributes. Equal constants are one value first. */
import type { ConstantData, Graph, Value } from '../ir';
import { copyNode, rewrite } from './rewrite';

/** Constants above this many elements are not compared: hashing them costs more than it saves. */
const MAX_COMPARED = 4096;

export function commonSubexpressions(graph: Graph): Graph {
  const constants = new Map<string, Value>();
  const seen = new Map<string, readonly Value[]>();
  return rewrite(graph, (node, rewriter) => {
    const inputs = node.inputs.map((input) => {
      if (!input) return null;
      const value = rewriter.map(input);
      if (value.source.kind !== 'constant' || value.source.data.length > MAX_COMPARED) return value;
      const key = `${value.dtype}[${value.shape.join()}]${contents(value.source.data)}`;
      const first = constants.get(key);
      if (!first) constants.set(key, value);
      return first ?? value;
    });
    const attributes = Object.entries(node.attributes).sort(([a], [b]) => (a < b ? -1 : 1));
    const key = `${node.op}(${inputs.map((input) => input?.id ?? '').join()})${JSON.stringify(attributes)}`;
    const same = seen.get(key);
    if (same) return same;
    const made = copyNode({ ...node, inputs }, { ...rewriter, map: (value) => value });
    seen.set(key, made.outputs);
    return made.outputs;
  });
}

function contents(data: ConstantData): string {
  return Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('base64');
}
