/**
 * The header of a safetensors file, believed only after every number in it has been checked against the file.
 * Layout: 8 bytes little-endian length N, N bytes of JSON, then the tensors' bytes, row-major and little-endian,
 * without a gap. Source: https://github.com/huggingface/safetensors, README "Format".
 */
import { type FileHandle, open } from 'node:fs/promises';
import { TuneyardError } from '@protocol/errors';
import { z } from 'zod';
import { systemErrorCode } from './diskError';
import { formatBytes } from './diskSpace';

/** Bits a value of each format of the specification; some take less than a byte. */
const DTYPE_BITS = {
  BOOL: 8,
  F4: 4,
  F6_E2M3: 6,
  F6_E3M2: 6,
  U8: 8,
  I8: 8,
  F8_E5M2: 8,
  F8_E4M3: 8,
  F8_E8M0: 8,
  F8_E4M3FNUZ: 8,
  F8_E5M2FNUZ: 8,
  I16: 16,
  U16: 16,
  F16: 16,
  BF16: 16,
  I32: 32,
  U32: 32,
  F32: 32,
  C64: 64,
  F64: 64,
  I64: 64,
  U64: 64,
} as const;

export type Dtype = keyof typeof DTYPE_BITS;

/** Where a tensor lies: `offset` and `length` in bytes from the file's beginning, as ONNX external data wants them. */
export interface TensorInfo {
  dtype: Dtype;
  shape: number[];
  file: string;
  offset: number;
  length: number;
}

export interface SafetensorsHeader {
  /** In the order of their bytes. */
  tensors: Map<string, TensorInfo>;
  metadata: Record<string, string>;
}

/** As the reference implementation: nobody needs more, and a damaged length must not fill the memory. */
const MAX_HEADER_BYTES = 100_000_000;

const count = z.number().int().nonnegative().max(Number.MAX_SAFE_INTEGER);
const entrySchema = z.object({ dtype: z.string(), shape: z.array(count), data_offsets: z.tuple([count, count]) });
const metadataSchema = z.record(z.string(), z.string());

/**
 * Reads and checks a header. Nothing of a file that fails is used.
 * @throws TuneyardError `file_not_found`, or `weights_invalid` that names the file and the tensor
 */
export async function readSafetensorsHeader(file: string): Promise<SafetensorsHeader> {
  let handle: FileHandle;
  try {
    handle = await open(file, 'r');
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === 'ENOENT') throw new TuneyardError('file_not_found', 'there is no such file.', { place: { file } });
    throw invalid(file, `cannot be opened (${code ?? 'unknown error'}); check its permissions.`);
  }
  try {
    const stats = await handle.stat();
    if (!stats.isFile()) throw invalid(file, 'is not a file.');
    return await parse(handle, stats.size, file);
  } finally {
    await handle.close();
  }
}

async function parse(handle: FileHandle, fileBytes: number, file: string): Promise<SafetensorsHeader> {
  if (fileBytes < 8) {
    throw invalid(file, `has ${fileBytes} bytes, too few for a safetensors file; it was cut short: fetch it again.`);
  }
  const prefix = await readExactly(handle, 0, 8, file);
  const headerBytes = Number(prefix.readBigUInt64LE());
  if (headerBytes > fileBytes - 8 || headerBytes > MAX_HEADER_BYTES) {
    if (prefix.toString('latin1').startsWith('version ')) {
      throw invalid(file, 'is a Git LFS pointer, not the weights themselves; fetch them with `git lfs pull`.');
    }
    throw invalid(
      file,
      `says that its header has ${headerBytes} bytes, but the file has only ${fileBytes}; it was cut short or is no safetensors file: fetch it again.`,
    );
  }
  const json = parseJson(await readExactly(handle, 8, headerBytes, file), file);
  const { __metadata__: rawMetadata = {}, ...entries } = json;
  const metadata = metadataSchema.safeParse(rawMetadata);
  if (!metadata.success) throw invalid(file, 'has a `__metadata__` that is not a map of strings; the file is damaged.');

  const dataStart = 8 + headerBytes;
  const tensors = Object.entries(entries).map(([name, raw]) => {
    return [name, checkEntry(name, raw, dataStart, fileBytes, file)] as const;
  });
  tensors.sort(([, a], [, b]) => a.offset - b.offset || a.length - b.length);
  checkLayout(tensors, dataStart, fileBytes, file);
  return { tensors: new Map(tensors), metadata: metadata.data };
}

function parseJson(bytes: Buffer, file: string): Record<string, unknown> {
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (error) {
    throw invalid(file, 'has a header that is not JSON; it is damaged or no safetensors file: fetch it again.', error);
  }
  if (typeof json !== 'object' || json === null || Array.isArray(json)) {
    throw invalid(file, 'has a header that is not a JSON object; it is damaged or no safetensors file.');
  }
  return json as Record<string, unknown>;
}

function checkEntry(name: string, raw: unknown, dataStart: number, fileBytes: number, file: string): TensorInfo {
  const entry = entrySchema.safeParse(raw);
  if (!entry.success) {
    throw invalid(file, `the header's entry for tensor "${name}" lacks a proper dtype, shape or data_offsets.`);
  }
  const { dtype, shape, data_offsets } = entry.data;
  if (!isDtype(dtype)) throw invalid(file, `tensor "${name}" has the unknown dtype "${dtype}".`);
  const [begin, end] = data_offsets;
  const length = end - begin;
  const values = shape.reduce((product, size) => product * size, 1);
  const bits = values * DTYPE_BITS[dtype];
  if (bits !== length * 8) {
    throw invalid(
      file,
      `tensor "${name}" (${dtype} [${shape.join(', ')}]) needs ${bits / 8} bytes, but its offsets ${begin}–${end} hold ${length}; the header is damaged.`,
    );
  }
  if (dataStart + end > fileBytes) {
    throw invalid(
      file,
      `tensor "${name}" should end at byte ${dataStart + end}, but the file ends at ${fileBytes} (${formatBytes(dataStart + end - fileBytes)} missing); it was cut short: fetch it again.`,
    );
  }
  return { dtype, shape, file, offset: dataStart + begin, length };
}

/** The specification forbids overlaps and gaps: with either, two readers could see different weights in one file. */
function checkLayout(
  tensors: readonly (readonly [string, TensorInfo])[],
  dataStart: number,
  fileBytes: number,
  file: string,
): void {
  let position = dataStart;
  let previous = '';
  for (const [name, info] of tensors) {
    if (info.offset < position)
      throw invalid(file, `tensors "${previous}" and "${name}" overlap; the header is damaged.`);
    if (info.offset > position) {
      throw invalid(
        file,
        `${info.offset - position} bytes before tensor "${name}" belong to no tensor; the header is damaged.`,
      );
    }
    position += info.length;
    previous = name;
  }
  if (position !== fileBytes) {
    throw invalid(file, `its last ${fileBytes - position} bytes belong to no tensor; the file is damaged.`);
  }
}

function isDtype(dtype: string): dtype is Dtype {
  return Object.hasOwn(DTYPE_BITS, dtype);
}

async function readExactly(handle: FileHandle, offset: number, length: number, file: string): Promise<Buffer> {
  const buffer = Buffer.allocUnsafe(length);
  await readInto(handle, buffer, offset, file);
  return buffer;
}

/**
 * Fills `into` with the file's bytes from `offset` on.
 * @throws TuneyardError `weights_invalid` where the file ends before
 */
export async function readInto(handle: FileHandle, into: Uint8Array, offset: number, file: string): Promise<void> {
  for (let done = 0; done < into.byteLength; ) {
    const { bytesRead } = await handle.read(into, done, into.byteLength - done, offset + done);
    if (bytesRead === 0)
      throw invalid(file, 'became shorter while it was being read; start again once it is complete.');
    done += bytesRead;
  }
}

function invalid(file: string, what: string, cause?: unknown): TuneyardError {
  return new TuneyardError('weights_invalid', what, { place: { file }, cause });
}
