/** Whether ONNX Runtime is there and computes right, and on what. */
import type { Check } from '@protocol/runner';

export async function* engineChecks(): AsyncGenerator<Check> {
  const runtime = await onnxRuntime();
  yield runtime;
  if (runtime.status === 'failed') return;
  yield await gpu();
  yield await mpi();
}

/** For several GPUs; nobody else needs it. */
async function mpi(): Promise<Check> {
  const { findMpi } = await import('../../collectives/findMpi');
  const found = await findMpi();
  const none = 'none; world_size above 1 needs it (Debian and Ubuntu: openmpi-bin)';
  return { name: 'MPI', status: 'ok', detail: found?.version ?? none };
}

/** Loads the library and multiplies two small matrices. */
async function onnxRuntime(): Promise<Check> {
  const name = 'ONNX Runtime';
  const remedy = 'Install the packages again: "npm ci" in Tuneyard’s folder.';
  try {
    const { createEngine } = await import('../../engine/createEngine');
    const { view } = await import('../../engine/engine');
    const { newBuilder, ops } = await import('../../ops/index');
    const builder = newBuilder('doctor');
    const x = builder.input('x', 'float32', [2, 2]);
    builder.output('y', builder.matMul(x, x));
    const engine = await createEngine(ops);
    const executable = await engine.compile(builder.graph);
    const y = new Float32Array(4);
    await executable.run({ x: view(Float32Array.of(1, 2, 3, 4), [2, 2]) }, { y: view(y, [2, 2]) });
    await executable.release();
    if (y.join() !== '7,10,15,22')
      return { name, status: 'failed', detail: `it computes wrongly: ${y.join(' ')}`, remedy };
    const detail = `${engine.runtime}, computes`;
    if (engine.fallback === undefined) return { name, status: 'ok', detail };
    return {
      name,
      status: 'warning',
      detail: `${detail}, but not through its C API, which is faster: ${engine.fallback}`,
      remedy,
    };
  } catch (error) {
    const why = error instanceof Error ? error.message.split('\n')[0] : String(error);
    return { name, status: 'failed', detail: `it does not load: ${why}`, remedy };
  }
}

async function gpu(): Promise<Check> {
  const name = 'GPU';
  const { chooseDevice, findObstacle } = await import('../../engine/device');
  const { hasNvidiaGpu } = await import('../../engine/gpus');
  const device = await chooseDevice('auto');
  if (device.provider === 'cuda') return { name, status: 'ok', detail: device.reason };
  if (!(await hasNvidiaGpu())) return { name, status: 'ok', detail: 'none; training works on the CPU' };
  const obstacle = await findObstacle(0);
  return {
    name,
    status: 'warning',
    detail: `none is used: ${obstacle?.what ?? device.reason}`,
    remedy: `Training works on the CPU. For a GPU: ${obstacle?.remedy ?? 'see the README.'}`,
  };
}
