/** A model's folder on this machine, by its `config.json` and the size of its weights. */
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { MODEL_TYPES } from './hubSearch';
import { isRecord } from './recipeText';

export interface ModelFolder {
  path: string;
  type: string;
  /** Whether the runner knows its architecture. */
  isSupported: boolean;
  maxPositions?: number;
  parameters?: number;
}

const BYTES_A_WEIGHT: Record<string, number> = { float64: 8, float32: 4, float16: 2, bfloat16: 2 };

/** Undefined where the folder holds no model with safetensors weights. */
export async function readModelFolder(path: string): Promise<ModelFolder | undefined> {
  const config: unknown = await readFile(join(path, 'config.json'), 'utf8')
    .then(JSON.parse)
    .catch(() => undefined);
  if (!isRecord(config) || typeof config.model_type !== 'string') return undefined;
  const files = await readdir(path).catch(() => []);
  const weights = files.filter((file) => file.endsWith('.safetensors'));
  if (weights.length === 0) return undefined;
  const sizes = await Promise.all(weights.map(async (file) => (await stat(join(path, file))).size));
  const bytes = sizes.reduce((a, b) => a + b, 0);
  const perWeight = BYTES_A_WEIGHT[String(config.torch_dtype ?? config.dtype ?? 'float32')] ?? 4;
  const positions = config.max_position_embeddings ?? config.n_positions;
  return {
    path,
    type: config.model_type,
    isSupported: (MODEL_TYPES as readonly string[]).includes(config.model_type),
    parameters: Math.round(bytes / perWeight),
    ...(typeof positions === 'number' ? { maxPositions: positions } : {}),
  };
}
