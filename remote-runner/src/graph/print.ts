/** A graph as text a person can read: one line a node, with types, attributes and where in the model it comes from. */
import { formatShape, type Graph, type Value } from './ir';

/**
 * @example
 * graph forward
 *   in  ids: int64[2, 8]
 *   %add_12: float32[2, 8, 16] = Add(%gather_4, %gather_7)            # embeddings
 *   out logits = %gemm_90
 */
export function printGraph(graph: Graph): string {
  const lines = [`graph ${graph.name}`];
  for (const input of graph.inputs) lines.push(`  in  ${input.name}: ${typeOf(input)}`);
  for (const constant of graph.constants) {
    if (constant.source.kind === 'external') lines.push(`  ext ${constant.name}: ${typeOf(constant)}`);
  }
  for (const node of graph.nodes) {
    const results = node.outputs.map((output) => `%${output.name}: ${typeOf(output)}`).join(', ');
    const args = node.inputs.map((input) => (input ? operand(input) : '∅')).join(', ');
    const attributes = Object.entries(node.attributes)
      .map(([key, value]) => ` ${key}=${Array.isArray(value) ? `[${value.join(', ')}]` : value}`)
      .join('');
    const place = node.place ? `  # ${node.place}` : '';
    lines.push(`  ${results} = ${node.op}(${args})${attributes}${place}`);
  }
  for (const [name, value] of graph.outputs) lines.push(`  out ${name} = ${operand(value)}`);
  return `${lines.join('\n')}\n`;
}

function typeOf(value: Value): string {
  return `${value.dtype}${formatShape(value.shape)}`;
}

function operand(value: Value): string {
  const { source } = value;
  if (source.kind === 'constant' && source.data.length === 1) return String(source.data[0]);
  if (source.kind === 'constant') return `const ${typeOf(value)}`;
  return source.kind === 'node' ? `%${value.name}` : value.name;
}
