/** Whole model folders for jobs: a random GPT-Neo with a byte-level tokenizer. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { trainBpe } from '@runner/data/bpe';
import { Random } from '@runner/data/random';
import type { ModelConfig } from '@runner/hub/modelDir';
import { gptNeo } from '@runner/models/gptNeo';
import { type NamedTensor, writeCheckpoint, writeModelDir } from '@runner/train/checkpoint';

const CONFIG: ModelConfig = {
  model_type: 'gpt_neo',
  vocab_size: 290,
  hidden_size: 24,
  num_layers: 2,
  num_heads: 3,
  max_position_embeddings: 80,
  window_size: 6,
  layer_norm_epsilon: 1e-5,
  attention_types: [[['global', 'local'], 1]],
  attention_layers: ['global', 'local'],
};

function randomWeights(seed: number): NamedTensor[] {
  const random = new Random(seed);
  return gptNeo.parse(CONFIG, 'config.json').parameters.map(({ name, shape }) => ({
    name,
    shape,
    data: Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => random.nextFloat() - 0.5),
  }));
}

export async function sourceFolder(dir: string): Promise<string> {
  await mkdir(dir, { recursive: true });
  const sample = 'the old mage of the north and the old sword of the south. the end of the road';
  const tokenizer = trainBpe(sample, { vocabSize: 290, specialTokens: ['<|endoftext|>'] });
  await writeFile(join(dir, 'tokenizer.json'), JSON.stringify(tokenizer));
  await writeFile(join(dir, 'tokenizer_config.json'), '{"eos_token": "<|endoftext|>"}');
  return dir;
}

/** A model folder at `dir`. Another seed, other weights. */
export async function modelFolder(dir: string, seed: number): Promise<string> {
  const sourceDir = await sourceFolder(`${dir}.source`);
  return (await writeModelDir({ dir, sourceDir, config: CONFIG, weights: randomWeights(seed) })).path;
}

/** A run's folder with checkpoints of the given steps; the seed of a checkpoint's weights is its step. */
export async function runFolder(dir: string, steps: readonly number[]): Promise<string> {
  const sourceDir = await sourceFolder(join(dir, '.source'));
  await writeFile(join(dir, 'recipe.json'), '{}');
  for (const step of steps) {
    await writeCheckpoint({
      root: join(dir, 'checkpoints'),
      step,
      modelFiles: { sourceDir, config: CONFIG },
      weights: randomWeights(step),
      optimizer: [],
      state: { step },
    });
  }
  return dir;
}
