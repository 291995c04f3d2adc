import { mkdir, readdir, readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { openSafetensors, openWeights } from '@runner/hub/safetensors';
import { saveSafetensors } from '@runner/hub/saveSafetensors';
import { describe, expect, it } from 'vitest';
import { failure, halves, rawSafetensors, temporaryFolders } from './support';

const folder = temporaryFolders();

const two = {
  a: { dtype: 'F32', shape: [2, 1], data_offsets: [0, 8] },
  b: { dtype: 'BF16', shape: [2], data_offsets: [8, 12] },
};
const twoData = Buffer.concat([Buffer.from(new Float32Array([1.5, -2]).buffer), halves([0x3f80, 0x0001])]);

async function fileWith(header: unknown, data: Uint8Array, length?: bigint): Promise<string> {
  const file = join(await folder(), 'model.safetensors');
  await writeFile(file, rawSafetensors(header, data, length));
  return file;
}

describe('reading safetensors', () => {
  it('gives each tensor its values, and the place in the file that an ONNX initializer points to', async () => {
    const file = await fileWith(two, twoData);
    const weights = await openSafetensors(file);
    expect(weights.names()).toEqual(['a', 'b']);
    expect([...(await weights.readFloat32('a'))]).toEqual([1.5, -2]);
    expect([...(await weights.readFloat32('b'))]).toEqual([1, 2 ** -133]);
    const { offset, length, ...rest } = weights.info('b');
    expect(rest).toEqual({ dtype: 'BF16', shape: [2], file });
    expect((await readFile(file)).subarray(offset, offset + length)).toEqual(halves([0x3f80, 0x0001]));
  });

  it('fills a view into a larger buffer and nothing around it', async () => {
    const weights = await openSafetensors(await fileWith(two, twoData));
    const arena = new Float32Array(6).fill(7);
    await weights.readFloat32('a', arena.subarray(1, 3));
    await weights.readFloat32('b', arena.subarray(3, 5));
    expect([...arena]).toEqual([7, 1.5, -2, 1, 2 ** -133, 7]);
  });

  it('reads tensors larger than one piece whole, in every float format', async () => {
    const dir = await folder();
    const count = 2_500_001;
    const f32 = Float32Array.from({ length: count }, (_, i) => (i % 251) - 125);
    // Whole numbers below 256 are exact in bfloat16: the upper half of their float32.
    const bf16 = Uint16Array.from(new Uint32Array(f32.buffer), (bits) => bits >>> 16);
    const file = join(dir, 'model.safetensors');
    await saveSafetensors(file, [
      { name: 'f32', shape: [count], data: f32 },
      { name: 'bf16', shape: [count], data: bf16, dtype: 'BF16' },
      { name: 'f64', shape: [count], data: Float64Array.from(f32), dtype: 'F64' },
    ]);
    const weights = await openSafetensors(file);
    for (const name of weights.names()) {
      expect(Buffer.from((await weights.readFloat32(name)).buffer).equals(Buffer.from(f32.buffer)), name).toBe(true);
    }
  });

  it('stops when asked to', async () => {
    const weights = await openSafetensors(await fileWith(two, twoData));
    expect((await failure(weights.readFloat32('a', undefined, AbortSignal.abort()))).code).toBe('cancelled');
  });

  it('takes scalars, empty tensors and a header without tensors', async () => {
    const header = {
      s: { dtype: 'F32', shape: [], data_offsets: [0, 4] },
      e: { dtype: 'F32', shape: [0, 3], data_offsets: [4, 4] },
    };
    const weights = await openSafetensors(await fileWith(header, Buffer.from(new Float32Array([3]).buffer)));
    expect([...(await weights.readFloat32('s'))]).toEqual([3]);
    expect((await weights.readFloat32('e')).length).toBe(0);
    expect(
      (await openSafetensors(await fileWith({ __metadata__: { format: 'pt' } }, Buffer.alloc(0)))).names(),
    ).toEqual([]);
  });

  it('names the tensor and both sizes when the model wants another size', async () => {
    const weights = await openSafetensors(await fileWith(two, twoData));
    const error = await failure(weights.readFloat32('a', new Float32Array(3)));
    expect(error.message).toMatch(/model\.safetensors: tensor "a" has shape \[2, 1\], 2 values, .* 3\./);
    expect((await failure(weights.readFloat32('c'))).message).toContain('no tensor "c"');
  });

  it('refuses to read whole numbers as weights', async () => {
    const file = await fileWith({ ids: { dtype: 'I32', shape: [1], data_offsets: [0, 4] } }, Buffer.alloc(4));
    const error = await failure((await openSafetensors(file)).readFloat32('ids'));
    expect([error.code, error.what]).toEqual([
      'weights_invalid',
      'tensor "ids" holds I32, which is no weight of float type.',
    ]);
  });
});

describe('a damaged safetensors file', () => {
  const f32 = (shape: number[], begin: number, end: number) => ({ dtype: 'F32', shape, data_offsets: [begin, end] });
  const wrong: [name: string, header: unknown, data: number, length: bigint | undefined, message: RegExp][] = [
    ['is empty of JSON', '{"a":', 4, undefined, /not JSON/],
    ['is a list', '[]', 0, undefined, /not a JSON object/],
    ['is no text', '\xff\xfe{}', 0, 1n << 20n, /says that its header has 1048576 bytes/],
    ['has a header longer than the file', { a: f32([1], 0, 4) }, 4, 9999n, /header has 9999 bytes/],
    ['has a header of 2⁶³ bytes', { a: f32([1], 0, 4) }, 4, 1n << 63n, /cut short or is no safetensors/],
    [
      'points outside the file',
      { a: f32([100], 0, 400) },
      4,
      undefined,
      /tensor "a" should end at byte \d+, but the file ends/,
    ],
    [
      'has offsets that contradict the shape',
      { a: f32([2], 0, 4) },
      4,
      undefined,
      /tensor "a" \(F32 \[2\]\) needs 8 bytes/,
    ],
    ['has offsets backwards', { a: f32([1], 4, 0) }, 4, undefined, /tensor "a" .*hold -4/],
    ['has a negative size', { a: f32([-1, -1], 0, 4) }, 4, undefined, /entry for tensor "a"/],
    ['has half a value', { a: f32([0.5], 0, 2) }, 2, undefined, /entry for tensor "a"/],
    ['has a size beyond counting', { a: f32([2 ** 50, 2 ** 50], 0, 4) }, 4, undefined, /tensor "a"/],
    ['has overlapping tensors', { a: f32([2], 0, 8), b: f32([1], 4, 8) }, 8, undefined, /"a" and "b" overlap/],
    ['has two tensors in one place', { a: f32([1], 0, 4), b: f32([1], 0, 4) }, 4, undefined, /overlap/],
    ['has a gap', { a: f32([1], 0, 4), b: f32([1], 8, 12) }, 12, undefined, /4 bytes before tensor "b"/],
    ['has bytes behind the last tensor', { a: f32([1], 0, 4) }, 9, undefined, /last 5 bytes/],
    [
      'has an unknown dtype',
      { a: { dtype: 'Q4_K', shape: [1], data_offsets: [0, 4] } },
      4,
      undefined,
      /unknown dtype "Q4_K"/,
    ],
    [
      'has a dtype named like a method',
      { a: { dtype: 'toString', shape: [1], data_offsets: [0, 4] } },
      4,
      undefined,
      /unknown dtype/,
    ],
    ['has metadata of another kind', { __metadata__: { a: 1 } }, 0, undefined, /__metadata__/],
  ];
  it.each(wrong)('that %s is refused, with the file named', async (_name, header, data, length, message) => {
    const file = await fileWith(header, Buffer.alloc(data), length);
    const error = await failure(openSafetensors(file));
    expect(error.code).toBe('weights_invalid');
    expect(error.place?.file).toBe(file);
    expect(error.what).toMatch(message);
  });

  it.each([0, 3, 8, 40, 119, 130])('cut short to %i bytes is refused and never read', async (bytes) => {
    const file = await fileWith(two, twoData);
    await truncate(file, bytes);
    const error = await failure(openSafetensors(file));
    expect(error.code).toBe('weights_invalid');
    expect(error.message).toContain('fetch it again');
  });

  it('that is a Git LFS pointer is called one', async () => {
    const file = join(await folder(), 'model.safetensors');
    await writeFile(file, 'version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n');
    expect((await failure(openSafetensors(file))).what).toContain('git lfs pull');
  });

  it('that shrinks after it was opened fails instead of giving zeros', async () => {
    const file = await fileWith(two, twoData);
    const weights = await openSafetensors(file);
    await truncate(file, 100);
    expect((await failure(weights.readFloat32('b'))).what).toContain('became shorter');
  });
});

describe('weights of a model folder', () => {
  async function sharded(index: unknown, shards: Record<string, string[]>): Promise<string> {
    const dir = await folder();
    await writeFile(
      join(dir, 'model.safetensors.index.json'),
      typeof index === 'string' ? index : JSON.stringify(index),
    );
    for (const [file, names] of Object.entries(shards)) {
      const tensors = names.map((name) => ({ name, shape: [1], data: new Float32Array([name.charCodeAt(0)]) }));
      await saveSafetensors(join(dir, file), tensors);
    }
    return dir;
  }
  const one = 'model-00001-of-00002.safetensors';
  const other = 'model-00002-of-00002.safetensors';

  it('are found in all shards, each by the shard that the index gives', async () => {
    const dir = await sharded(
      { metadata: {}, weight_map: { a: one, b: other } },
      { [one]: ['a', 'b'], [other]: ['b'] },
    );
    const weights = await openWeights(dir);
    expect(weights.names().sort()).toEqual(['a', 'b']);
    expect(weights.info('b').file).toBe(join(dir, other));
    expect([...(await weights.readFloat32('a')), ...(await weights.readFloat32('b'))]).toEqual([97, 98]);
  });

  it('are refused where a shard is missing', async () => {
    const error = await failure(openWeights(await sharded({ weight_map: { a: one, b: other } }, { [one]: ['a'] })));
    expect(error.message).toMatch(/index\.json: its shard "model-00002-of-00002.safetensors" is missing/);
  });

  it('are refused where a shard lacks a tensor', async () => {
    const error = await failure(openWeights(await sharded({ weight_map: { a: one, z: one } }, { [one]: ['a'] })));
    expect(error.what).toContain('tensor "z" is not in its shard');
  });

  it.each(['../secret.safetensors', '/etc/passwd', 'sub/a.safetensors', 'pytorch_model.bin', ''])(
    'are refused where the index points to %j',
    async (shard) => {
      expect((await failure(openWeights(await sharded({ weight_map: { a: shard } }, {})))).code).toBe(
        'weights_invalid',
      );
    },
  );

  it.each(['{', '[]', '{"weight_map": {"a": 1}}'])('are refused with the index %j', async (index) => {
    expect((await failure(openWeights(await sharded(index, {})))).place?.file).toMatch(/index\.json$/);
  });

  it.each(['pytorch_model.bin', 'model.pt', 'model.pth', 'last.ckpt'])(
    'are refused as a pickle (%s) without being read, with the reason',
    async (name) => {
      const dir = await folder();
      await writeFile(join(dir, name), 'cos\nsystem\n');
      const error = await failure(openWeights(dir));
      expect(error.code).toBe('weights_pickled');
      expect(error.message).toMatch(/runs whatever code is in it.*save_pretrained/);
    },
  );

  it('are not called pickled for the Trainer’s arguments beside none', async () => {
    const dir = await folder();
    await writeFile(join(dir, 'training_args.bin'), '');
    expect((await failure(openWeights(dir))).code).toBe('weights_invalid');
    expect((await failure(openWeights(join(dir, 'nowhere')))).code).toBe('file_not_found');
  });

  it('are taken from safetensors where pickled ones lie beside', async () => {
    const dir = await folder();
    await writeFile(join(dir, 'pytorch_model.bin'), '');
    await saveSafetensors(join(dir, 'model.safetensors'), [{ name: 'a', shape: [1], data: new Float32Array(1) }]);
    expect((await openWeights(dir)).names()).toEqual(['a']);
  });
});

describe('writing safetensors', () => {
  it('writes what the specification says, marked for transformers and aligned', async () => {
    const file = join(await folder(), 'model.safetensors');
    const data = new Float32Array([0, 1, 2, 3, 4]).subarray(1, 4);
    const digest = await saveSafetensors(file, [
      { name: 'wide', shape: [1], data: new Uint16Array([0x3c00]), dtype: 'F16' },
      { name: 'deep', shape: [3, 1], data },
    ]);
    const bytes = await readFile(file);
    const length = Number(bytes.readBigUInt64LE());
    expect(length % 8).toBe(0);
    expect(JSON.parse(bytes.subarray(8, 8 + length).toString())).toEqual({
      __metadata__: { format: 'pt' },
      deep: { dtype: 'F32', shape: [3, 1], data_offsets: [0, 12] },
      wide: { dtype: 'F16', shape: [1], data_offsets: [12, 14] },
    });
    expect(digest.bytes).toBe(bytes.byteLength);
    const weights = await openSafetensors(file);
    expect([...(await weights.readFloat32('deep')), ...(await weights.readFloat32('wide'))]).toEqual([1, 2, 3, 1]);
  });

  it('leaves the old file alone and nothing beside it when it is stopped', async () => {
    const dir = await folder();
    const file = join(dir, 'model.safetensors');
    const save = (value: number, signal?: AbortSignal) =>
      saveSafetensors(file, [{ name: 'a', shape: [1], data: new Float32Array([value]) }], undefined, signal);
    await save(1);
    expect((await failure(save(2, AbortSignal.abort()))).code).toBe('cancelled');
    expect([...(await (await openSafetensors(file)).readFloat32('a'))]).toEqual([1]);
    expect(await readdir(dir)).toEqual(['model.safetensors']);
  });

  it('says so when the folder is missing or a folder is in the way', async () => {
    const dir = await folder();
    const tensors = [{ name: 'a', shape: [1], data: new Float32Array(1) }];
    expect((await failure(saveSafetensors(join(dir, 'no', 'a.safetensors'), tensors))).code).toBe('file_not_found');
    await mkdir(join(dir, 'taken', 'full'), { recursive: true });
    expect((await failure(saveSafetensors(join(dir, 'taken'), tensors))).code).toBe('not_writable');
  });

  it('refuses a tensor whose bytes do not fit its shape, and a name given twice', async () => {
    const file = join(await folder(), 'a.safetensors');
    const a = { name: 'a', shape: [2], data: new Float32Array(1) };
    expect((await failure(saveSafetensors(file, [a]))).message).toContain('"a" (F32 [2]) came with 4 bytes');
    const b = { ...a, shape: [1] };
    expect((await failure(saveSafetensors(file, [b, b]))).message).toContain('twice');
  });
});
