/** The frame of every pass: reads one graph, writes another. */
import { Graph, type Node, type Value } from '../ir';

export interface Rewriter {
  readonly from: Graph;
  readonly to: Graph;
  /** What a value of the old graph is in the new one. */
  map(value: Value): Value;
}

/**
 * Copies `graph` node by node. `visit` may return the values that replace a node's outputs (having written what it
 * likes to `rewriter.to`), `'drop'` for a node that nothing needs, or null to copy it.
 *
 * @param nodes those of the graph, in another topological order
 */
export function rewrite(
  graph: Graph,
  visit: (node: Node, rewriter: Rewriter) => readonly Value[] | 'drop' | null,
  nodes: readonly Node[] = graph.nodes,
): Graph {
  const to = new Graph(graph.name);
  const mapped = new Map<Value, Value>();
  const map = (value: Value): Value => {
    const found = mapped.get(value);
    if (found) return found;
    // Constants are copied when first needed, so that those nobody uses disappear.
    if (value.source.kind === 'constant') {
      const copy = to.addConstant(value.source.data, value);
      mapped.set(value, copy);
      return copy;
    }
    if (value.source.kind === 'external') {
      const copy = to.addExternal(value.name, value, value.source.external);
      mapped.set(value, copy);
      return copy;
    }
    throw new Error(`${value.name} was dropped but is needed`);
  };
  const rewriter: Rewriter = { from: graph, to, map };
  for (const input of graph.inputs) mapped.set(input, to.addInput(input.name, input));
  for (const node of nodes) {
    const replaced = visit(node, rewriter);
    if (replaced === 'drop') continue;
    const outputs = replaced ?? copyNode(node, rewriter).outputs;
    node.outputs.forEach((old, i) => {
      mapped.set(old, outputs[i]!);
    });
  }
  for (const [name, value] of graph.outputs) to.setOutput(name, map(value));
  return to;
}

export function copyNode(node: Node, { to, map }: Rewriter): Node {
  return to.addNode(
    node.op,
    node.inputs.map((input) => input && map(input)),
    node.attributes,
    node.outputs,
    node.place,
  );
}

/** Who reads each value; results of the graph count as a reader (`null`). */
export function readers(graph: Graph): Map<Value, (Node | null)[]> {
  const found = new Map<Value, (Node | null)[]>();
  const push = (value: Value, reader: Node | null) => {
    const list = found.get(value);
    if (list) list.push(reader);
    else found.set(value, [reader]);
  };
  for (const node of graph.nodes) for (const input of node.inputs) if (input) push(input, node);
  for (const value of graph.outputs.values()) push(value, null);
  return found;
}
