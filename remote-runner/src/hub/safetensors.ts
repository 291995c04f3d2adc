/**
 * Weights on disk: safetensors files, read and written. Pickled weights are refused, because reading them runs code.
 * Specification: https://github.com/huggingface/safetensors.
 */
import { type FileHandle, open, readdir, readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { TuneyardError } from '@protocol/errors';
import { z } from 'zod';
import { throwIfCancelled } from './cancel';
import { systemErrorCode } from './diskError';
import { FLOAT_BYTES, type FloatFormat, widenToFloat32 } from './floatFormats';
import { isPlainFileName, pickledError, pickledWeights, WEIGHTS_FILE, WEIGHTS_INDEX_FILE } from './modelFiles';
import { readInto, readSafetensorsHeader, type TensorInfo } from './safetensorsHeader';
import type { Weights } from './weights';

/** Bytes of a stored format converted at a time: fits the caches, and stays the only copy. */
const PIECE_BYTES = 4 << 20;

/**
 * Opens the weights of a Hugging Face model directory: `model.safetensors`, or the shards that
 * `model.safetensors.index.json` names.
 * @throws TuneyardError `weights_pickled` where there are only pickled weights, `weights_invalid` where a file is
 *   missing, damaged or cut short
 */
export async function openWeights(dir: string): Promise<Weights> {
  const files = await readdir(dir).catch((error: unknown) => {
    throw new TuneyardError('file_not_found', 'there is no such folder to read weights from.', {
      place: { file: dir },
      cause: error,
    });
  });
  if (files.includes(WEIGHTS_FILE)) return openSafetensors(join(dir, WEIGHTS_FILE));
  if (files.includes(WEIGHTS_INDEX_FILE)) return openShards(dir);
  const pickled = pickledWeights(files);
  if (pickled.length > 0) throw pickledError(dir, pickled);
  throw new TuneyardError(
    'weights_invalid',
    `there are no weights in this folder: it needs ${WEIGHTS_FILE}, or ${WEIGHTS_INDEX_FILE} with its shards.`,
    { place: { file: dir } },
  );
}

/**
 * Opens one safetensors file.
 * @throws TuneyardError `file_not_found`, `weights_invalid`
 */
export async function openSafetensors(file: string): Promise<Weights> {
  const { tensors, metadata } = await readSafetensorsHeader(file);
  return new SafetensorsWeights(file, tensors, metadata);
}

const indexSchema = z.object({ weight_map: z.record(z.string(), z.string()) });

/**
 * The names of the shards that an index speaks of.
 * @throws TuneyardError `weights_invalid` for a damaged index, or one that points out of its folder
 */
export async function readShardIndex(indexFile: string): Promise<Map<string, string>> {
  const text = await readFile(indexFile, 'utf8');
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new TuneyardError('weights_invalid', 'this is not JSON; fetch it again.', {
      place: { file: indexFile },
      cause: error,
    });
  }
  const index = indexSchema.safeParse(json);
  if (!index.success) {
    throw new TuneyardError('weights_invalid', 'there is no `weight_map` of names in this index; fetch it again.', {
      place: { file: indexFile },
    });
  }
  const map = new Map(Object.entries(index.data.weight_map));
  for (const [name, shard] of map) {
    if (isPlainFileName(shard) && shard.endsWith('.safetensors')) continue;
    throw new TuneyardError(
      'weights_invalid',
      `tensor "${name}" is said to lie in "${shard}", which is not a safetensors file of this folder.`,
      { place: { file: indexFile } },
    );
  }
  return map;
}

async function openShards(dir: string): Promise<Weights> {
  const indexFile = join(dir, WEIGHTS_INDEX_FILE);
  const shardOf = await readShardIndex(indexFile);
  const tensors = new Map<string, TensorInfo>();
  let metadata: Record<string, string> = {};
  for (const shard of new Set(shardOf.values())) {
    const file = join(dir, shard);
    const header = await readSafetensorsHeader(file).catch((error: unknown) => {
      if (!(error instanceof TuneyardError) || error.code !== 'file_not_found') throw error;
      throw new TuneyardError('weights_invalid', `its shard "${shard}" is missing; fetch it.`, {
        place: { file: indexFile },
      });
    });
    metadata = { ...metadata, ...header.metadata };
    for (const [name, info] of header.tensors) {
      if (shardOf.get(name) === shard) tensors.set(name, info);
    }
  }
  for (const [name, shard] of shardOf) {
    if (tensors.has(name)) continue;
    throw new TuneyardError('weights_invalid', `tensor "${name}" is not in its shard "${shard}"; fetch both again.`, {
      place: { file: indexFile },
    });
  }
  return new SafetensorsWeights(indexFile, tensors, metadata);
}

class SafetensorsWeights implements Weights {
  constructor(
    private readonly source: string,
    private readonly tensors: ReadonlyMap<string, TensorInfo>,
    readonly metadata: Readonly<Record<string, string>>,
  ) {}

  names(): string[] {
    return [...this.tensors.keys()];
  }

  has(name: string): boolean {
    return this.tensors.has(name);
  }

  info(name: string): TensorInfo {
    const info = this.tensors.get(name);
    if (info) return info;
    throw new TuneyardError(
      'weights_invalid',
      `there is no tensor "${name}" among the ${this.tensors.size} of this file; the weights belong to another architecture or are incomplete.`,
      { place: { file: this.source } },
    );
  }

  async readFloat32(name: string, into?: Float32Array, signal?: AbortSignal): Promise<Float32Array> {
    const { dtype, shape, file, offset, length } = this.info(name);
    if (!isFloat(dtype)) {
      throw new TuneyardError('weights_invalid', `tensor "${name}" holds ${dtype}, which is no weight of float type.`, {
        place: { file },
      });
    }
    const values = length / FLOAT_BYTES[dtype];
    const result = into ?? new Float32Array(values);
    if (result.length !== values) {
      throw new TuneyardError(
        'weights_invalid',
        `tensor "${name}" has shape [${shape.join(', ')}], ${values} values, where the model needs ${result.length}.`,
        { place: { file } },
      );
    }
    const handle = await openForReading(file);
    try {
      await readValues(handle, dtype, file, offset, result, signal);
    } finally {
      await handle.close();
    }
    return result;
  }
}

async function readValues(
  handle: FileHandle,
  dtype: FloatFormat,
  file: string,
  offset: number,
  into: Float32Array,
  signal: AbortSignal | undefined,
): Promise<void> {
  const size = FLOAT_BYTES[dtype];
  const perPiece = PIECE_BYTES / size;
  // float32 goes straight to its place; everything else through one piece that is used again and again.
  const piece = dtype === 'F32' ? undefined : new Uint8Array(Math.min(PIECE_BYTES, into.length * size));
  for (let start = 0; start < into.length; start += perPiece) {
    throwIfCancelled(signal, `Reading ${basename(file)}`);
    const target = into.subarray(start, start + perPiece);
    const bytes = piece
      ? piece.subarray(0, target.length * size)
      : new Uint8Array(target.buffer, target.byteOffset, target.byteLength);
    await readInto(handle, bytes, offset + start * size, file);
    if (piece) widenToFloat32(dtype, bytes, target);
  }
}

async function openForReading(file: string): Promise<FileHandle> {
  try {
    return await open(file, 'r');
  } catch (error) {
    throw new TuneyardError('weights_invalid', `cannot be opened any more (${systemErrorCode(error)}).`, {
      place: { file },
      cause: error,
    });
  }
}

function isFloat(dtype: string): dtype is FloatFormat {
  return Object.hasOwn(FLOAT_BYTES, dtype);
}
