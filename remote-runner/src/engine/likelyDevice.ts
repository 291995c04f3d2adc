import { cudaObstacle } from './cudaLibraries';

/**
 * The device a recipe's `device` most likely means, told without loading ONNX Runtime or touching a GPU: for a queue, or
 * for a machine's description. What is computed on is decided by `chooseDevice`, by trying.
 */
export async function likelyDevice(requested: string): Promise<{ device: string; reason: string }> {
  if (requested === 'cpu') return { device: 'cpu', reason: 'CPU: the recipe asks for it' };
  const gpu = `cuda:${/^cuda:(\d+)$/.exec(requested)?.[1] ?? 0}`;
  if (requested !== 'auto') return { device: gpu, reason: `${gpu}: the recipe asks for it` };
  const obstacle = await cudaObstacle();
  return obstacle
    ? { device: 'cpu', reason: `CPU: ${obstacle.what}` }
    : { device: gpu, reason: `${gpu}: ONNX Runtime’s CUDA provider loads` };
}
