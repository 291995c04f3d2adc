import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { NamedTensor, WriteCheckpointOptions } from '@runner/train/checkpoint';

/** Weights and optimizer state whose every value says which step they are of. */
export function tensorsOf(step: number, values = 1000): { weights: NamedTensor[]; optimizer: NamedTensor[] } {
  const filled = (name: string, offset: number): NamedTensor => ({
    name,
    shape: [2, values / 2],
    data: Float32Array.from({ length: values }, (_, i) => step * 1000 + offset + (i % 97) / 128),
  });
  return {
    weights: [filled('wte.weight', 1), filled('h.0.ln.bias', 2)],
    optimizer: [filled('m', 3), filled('v', 4)],
  };
}

/** A base model's folder with the files that a checkpoint copies and one that it does not. */
export async function baseModel(dir: string): Promise<string> {
  await mkdir(dir, { recursive: true });
  await writeFile(join(dir, 'tokenizer.json'), '{"model": {"vocab": {}}}');
  await writeFile(join(dir, 'merges.txt'), '#version: 0.2\n');
  await writeFile(join(dir, 'generation_config.json'), '{"eos_token_id": 0}');
  await writeFile(join(dir, 'pytorch_model.bin'), 'pickle');
  return dir;
}

export function checkpointOf(root: string, sourceDir: string, step: number, values?: number): WriteCheckpointOptions {
  const config = { model_type: 'gpt2', n_layer: 1, torch_dtype: 'float16', extra: { kept: [1, null] } };
  return { root, step, modelFiles: { sourceDir, config }, ...tensorsOf(step, values), state: { step, note: 'état' } };
}
