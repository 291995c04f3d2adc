import { endianness } from 'node:os';
import { TuneyardError } from '@protocol/errors';
import { type FileDigest, replaceFile, writeSynced } from './durableFile';

/** Formats that can be written, with their bytes a value. */
const WRITE_BYTES = { F64: 8, I64: 8, F32: 4, I32: 4, U32: 4, F16: 2, BF16: 2, U8: 1 } as const;

/** A tensor to write: `data` is row-major and holds shape × dtype bytes; F16 and BF16 come as `Uint16Array`. */
export interface TensorToSave {
  name: string;
  shape: readonly number[];
  data: ArrayBufferView;
  /** Default: F32. */
  dtype?: keyof typeof WRITE_BYTES;
}

/** transformers reads only files that say which framework's conventions they keep. */
const DEFAULT_METADATA = { format: 'pt' };

/**
 * Writes a safetensors file that replaces `path` as a whole, without a copy of the tensors.
 * The caller leaves the tensors alone until the promise settles.
 * @throws TuneyardError `disk_full`, `not_writable`, `file_not_found` (no such folder), `cancelled`
 */
export async function saveSafetensors(
  path: string,
  tensors: readonly TensorToSave[],
  metadata: Record<string, string> = DEFAULT_METADATA,
  signal?: AbortSignal,
): Promise<FileDigest> {
  return replaceFile(path, safetensorsParts(tensors, metadata, path), signal);
}

/** The same for a path that does not exist yet, in a folder that is renamed as a whole later. */
export async function writeSafetensors(
  path: string,
  tensors: readonly TensorToSave[],
  signal?: AbortSignal,
): Promise<FileDigest> {
  return writeSynced(path, safetensorsParts(tensors, DEFAULT_METADATA, path), signal);
}

/** Header and data, in the order of the reference implementation: wide formats first, then by name. */
function safetensorsParts(
  tensors: readonly TensorToSave[],
  metadata: Record<string, string>,
  path: string,
): ArrayBufferView[] {
  if (endianness() !== 'LE') {
    throw new TuneyardError('internal', 'safetensors are little-endian and this machine is not.');
  }
  const sorted = tensors
    .map((tensor) => ({ ...tensor, dtype: tensor.dtype ?? ('F32' as const) }))
    .sort((a, b) => WRITE_BYTES[b.dtype] - WRITE_BYTES[a.dtype] || (a.name < b.name ? -1 : 1));
  const entries: Record<string, unknown> = { __metadata__: metadata };
  let position = 0;
  for (const { name, shape, data, dtype } of sorted) {
    const values = shape.reduce((product, size) => product * size, 1);
    if (Object.hasOwn(entries, name)) throw wrong(path, `tensor "${name}" was to be written twice`);
    if (values * WRITE_BYTES[dtype] !== data.byteLength) {
      throw wrong(path, `tensor "${name}" (${dtype} [${shape.join(', ')}]) came with ${data.byteLength} bytes`);
    }
    entries[name] = { dtype, shape, data_offsets: [position, position + data.byteLength] };
    position += data.byteLength;
  }
  const json = Buffer.from(JSON.stringify(entries));
  // Spaces up to a multiple of 8 keep the tensors aligned for whoever maps the file.
  const header = Buffer.alloc(8 + Math.ceil(json.byteLength / 8) * 8, 0x20);
  header.writeBigUInt64LE(BigInt(header.byteLength - 8));
  json.copy(header, 8);
  return [header, ...sorted.map(({ data }) => data)];
}

function wrong(path: string, what: string): TuneyardError {
  return new TuneyardError('internal', `${what}; this is a fault of Tuneyard.`, { place: { file: path } });
}
