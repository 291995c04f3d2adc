/** A model's folder on this machine, by its `config.json` and its weights' headers. */
import { open, readdir, readFile } from 'node:fs/promises';
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

/** No model has so many tensors that its header is longer. */
const MOST_HEADER_BYTES = 100e6;

/** Undefined where the folder holds no model with safetensors weights. */
export async function readModelFolder(path: string): Promise<ModelFolder | undefined> {
  const config: unknown = await readFile(join(path, 'config.json'), 'utf8')
    .then(JSON.parse)
    .catch(() => undefined);
  if (!isRecord(config) || typeof config.model_type !== 'string') return undefined;
  const files = await readdir(path).catch(() => []);
  const weights = files.filter((file) => file.endsWith('.safetensors'));
  if (weights.length === 0) return undefined;
  const counts = await Promise.all(weights.map((file) => countWeights(join(path, file)).catch(() => 0)));
  const parameters = counts.reduce((a, b) => a + b, 0);
  const positions = config.max_position_embeddings ?? config.n_positions ?? config.seq_length;
  return {
    path,
    type: config.model_type,
    isSupported: (MODEL_TYPES as readonly string[]).includes(config.model_type),
    ...(parameters > 0 ? { parameters } : {}),
    ...(typeof positions === 'number' ? { maxPositions: positions } : {}),
  };
}

/** A safetensors file begins with its header's length in 8 bytes and the header: JSON with the shape of each tensor. */
async function countWeights(path: string): Promise<number> {
  const file = await open(path);
  try {
    const { buffer: length } = await file.read(Buffer.alloc(8), 0, 8, 0);
    const bytes = Number(length.readBigUInt64LE());
    if (bytes > MOST_HEADER_BYTES) return 0;
    const { buffer: header } = await file.read(Buffer.alloc(bytes), 0, bytes, 8);
    const tensors = Object.values(JSON.parse(header.toString('utf8')) as Record<string, { shape?: number[] }>);
    return tensors.reduce((sum, { shape }) => sum + (shape ?? [0]).reduce((a, b) => a * b, 1), 0);
  } finally {
    await file.close();
  }
}
