/** Writes a model as a Hugging Face directory of its own, an adapter merged into its base, and reads it back before it says so. */
import { resolve } from 'node:path';
import { TuneyardError } from '@protocol/errors';
import type { ExportResult } from '@protocol/runner';
import { resolveModel } from '../hub/download';
import { notInWeights } from '../methods/softPromptAdapter';
import { loadParameters, openModel } from '../models/loadModel';
import type { Arena } from '../train/arena';
import { writeModelDir } from '../train/checkpoint';
import { hashArena } from '../train/hashArena';
import { locateModel } from './openForDecoding';
import { openFiles } from './prepare';
import type { ExportRequest } from './requests';

/**
 * The weights are written as float32, under transformers' names; tokenizer and generation config come along.
 * @throws TuneyardError `usage` where `out` is the model itself, `disk_full`, `not_writable`, `weights_invalid` where
 *   the disk gives back other weights than were written, `cancelled`, and what opening the model throws
 */
export async function exportJob({ from, out, signal }: ExportRequest): Promise<ExportResult> {
  const baseDir = process.cwd();
  const { name } = await locateModel(from, baseDir, signal);
  const source = await openFiles(name, (named) => resolveModel(named, { baseDir, signal }), baseDir);
  const sourceDir = source.dir;
  const dir = resolve(baseDir, out);
  if (dir === sourceDir || dir === source.adapter?.dir) {
    throw new TuneyardError('usage', 'the model lies there already; choose another folder to export to.', {
      place: { file: dir },
    });
  }
  if (source.adapter && source.model.front) throw notInWeights(source.adapter);
  const parameters = await loadParameters(source, signal);
  const weights = parameters.layout.tensors.map(({ name, shape }) => ({ name, shape, data: parameters.slice(name) }));
  const { config } = source.source;
  const { path, bytes } = await writeModelDir({ dir, sourceDir, config, weights, signal });
  await verify(path, parameters, signal);
  return { path, bytes, weights: hashArena(parameters) };
}

/** Compares tensor by tensor, so that no second model is in memory. */
async function verify(dir: string, parameters: Arena, signal: AbortSignal | undefined): Promise<void> {
  const { source, fileNames } = await openModel(dir);
  for (const { name } of parameters.layout.tensors) {
    const written = await source.weights.readFloat32(fileNames.get(name)!, undefined, signal);
    if (Buffer.compare(bytesOf(written), bytesOf(parameters.slice(name))) === 0) continue;
    throw new TuneyardError(
      'weights_invalid',
      `the tensor ${name} reads back other than it was written; check the disk and export again.`,
      { place: { file: dir } },
    );
  }
}

function bytesOf({ buffer, byteOffset, byteLength }: Float32Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}
