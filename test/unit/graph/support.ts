/** Runs a graph exactly as it is written: neither our passes nor ONNX Runtime's own touch it. */

import type { Workspace } from '@runner/engine/workspace';
import type { Graph } from '@runner/graph/ir';
import type { MemoryPlan } from '@runner/graph/memoryPlan';
import { buildModel, encodeModel } from '@runner/graph/onnx';
import { ops } from '@runner/ops';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { type Data, numbers } from '../ops/support';

/**
 * Results by name, as plain numbers; −0 counts as 0.
 *
 * @param planned where values in between are to lie; else wherever ONNX Runtime likes
 */
export async function runGraph(
  graph: Graph,
  feeds: Readonly<Record<string, Data>>,
  planned?: { plan: MemoryPlan; workspace: Workspace },
): Promise<Record<string, number[]>> {
  const values = planned?.plan.values ?? [];
  const further = values.map(({ name, type }) => [name, type] as const);
  const session = await InferenceSession.create(encodeModel(buildModel(graph, ops).model, further), {
    graphOptimizationLevel: 'disabled',
    intraOpNumThreads: 1,
    logSeverityLevel: 3,
  });
  try {
    const tensors = graph.inputs.map(({ name, dtype, shape }) => {
      return [name, new Tensor(dtype as 'float32', feeds[name] as Float32Array, shape)];
    });
    planned?.workspace.reserve(planned.plan.bytes);
    const inner = values.map(({ name, type, offset }) => {
      const data = planned!.workspace.slice(offset, type) as Float32Array;
      return [name, new Tensor(type.dtype as 'float32', data, type.shape)];
    });
    const own = [...graph.outputs.keys()].map((name) => [name, null]);
    const results = await session.run(Object.fromEntries(tensors), Object.fromEntries([...own, ...inner]));
    return Object.fromEntries(
      [...graph.outputs.keys()].map((name) => [
        name,
        numbers({ data: results[name]!.data as Float32Array }).map((x) => x + 0),
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
