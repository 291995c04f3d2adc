/**
 * The example as the extension ships it (dist/example): the recipe, the data, and the model with its weights rounded to
 * bfloat16 less two bits (its loss changes by less than a hundredth), in planes of bytes, by brotli: 3 MB instead of 10.5.
 * src/recipes/weightPlanes.ts joins the planes again.
 */
import { copyFile, mkdir, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { brotliCompress, constants } from 'node:zlib';
import { root } from './command.mjs';

const SOURCE = join(root, 'examples/default');
const TARGET = join(root, 'dist/example');

/** Packs what is newer than what was packed before. */
export async function packExample(say) {
  await mkdir(join(TARGET, 'model'), { recursive: true });
  for (const file of [
    'backstories.jsonl',
    'model/config.json',
    'model/tokenizer.json',
    'model/tokenizer_config.json',
  ]) {
    await copyFile(join(SOURCE, file), join(TARGET, file));
  }
  const recipe = await readFile(join(SOURCE, 'default.tune.json'), 'utf8');
  // The extension brings the schema along.
  await writeFile(join(TARGET, 'backstories.tune.json'), recipe.replace(/ *\/\/ [^\n]*\n *"\$schema"[^\n]*\n\n?/, ''));

  const weights = join(SOURCE, 'model/model.safetensors');
  const packed = join(TARGET, 'model/weights.br');
  if ((await modified(packed)) > (await modified(weights))) return;
  const planes = splitPlanes(await readFile(weights));
  const options = { params: { [constants.BROTLI_PARAM_QUALITY]: 9, [constants.BROTLI_PARAM_LGWIN]: 24 } };
  const bytes = await promisify(brotliCompress)(planes, options);
  await writeFile(`${packed}.tmp`, bytes);
  await rename(`${packed}.tmp`, packed);
  say(`dist/example  ${(bytes.length / 1024).toFixed(0)} kB`);
}

/** A float32 safetensors file as one of bfloat16 in two planes of bytes: header, high bytes, low bytes. */
function splitPlanes(file) {
  const start = 8 + Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.subarray(8, start).toString());
  const metadata = { format: 'pt' };
  const tensors = Object.entries(header).filter(([name]) => name !== '__metadata__');
  for (const [name, { dtype }] of tensors) if (dtype !== 'F32') throw new Error(`${name} is ${dtype}, not F32`);
  const halved = tensors.map(
    ([
      name,
      {
        shape,
        data_offsets: [from, to],
      },
    ]) => [name, { dtype: 'BF16', shape, data_offsets: [from / 2, to / 2] }],
  );
  const json = JSON.stringify(Object.fromEntries([['__metadata__', metadata], ...halved]));
  const text = Buffer.from(json.padEnd(Math.ceil(json.length / 8) * 8));
  const count = (file.length - start) / 4;
  const planes = Buffer.alloc(8 + text.length + 2 * count);
  planes.writeBigUInt64LE(BigInt(text.length), 0);
  text.copy(planes, 8);
  const high = 8 + text.length;
  for (let i = 0; i < count; i++) {
    const bits = file.readUInt32LE(start + 4 * i);
    // To the nearest, and to even where both are as near.
    const rounded = ((bits + 0x1ffff + ((bits >>> 18) & 1)) >>> 18) << 2;
    planes[high + i] = rounded >>> 8;
    planes[high + count + i] = rounded & 0xff;
  }
  return planes;
}

async function modified(path) {
  return stat(path).then(
    ({ mtimeMs }) => mtimeMs,
    () => 0,
  );
}
