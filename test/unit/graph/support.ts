/** Runs a graph exactly as it is written: neither our passes nor ONNX Runtime's own touch it. */
import type { Graph } from '@runner/graph/ir';
import { serializeModel } from '@runner/graph/onnx';
import { ops } from '@runner/ops';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { type Data, numbers } from '../ops/support';

/** Results by name, as plain numbers; −0 counts as 0. */
export async function runGraph(graph: Graph, feeds: Readonly<Record<string, Data>>): Promise<Record<string, number[]>> {
  const session = await InferenceSession.create(serializeModel(graph, ops), {
    graphOptimizationLevel: 'disabled',
    intraOpNumThreads: 1,
    logSeverityLevel: 3,
  });
  try {
    const tensors = graph.inputs.map(({ name, dtype, shape }) => {
      return [name, new Tensor(dtype as 'float32', feeds[name] as Float32Array, shape)];
    });
    const results = await session.run(Object.fromEntries(tensors));
    return Object.fromEntries(
      Object.entries(results).map(([name, { data }]) => [
        name,
        numbers({ data: data as Float32Array }).map((x) => x + 0),
      ]),
    );
  } finally {
    await session.release();
  }
}

/** How often each op occurs. */
export function opCounts(graph: Graph): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { op } of graph.nodes) counts[op] = (counts[op] ?? 0) + 1;
  return counts;
}
