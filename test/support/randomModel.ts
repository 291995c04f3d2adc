/** Models of random weights, as Hugging Face directories. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { trainBpe } from '@runner/data/bpe';
import type { ModelConfig } from '@runner/hub/modelDir';
import { architectureOf } from '@runner/models/index';
import { initializeParameters } from '@runner/models/initialize';
import { writeModelDir } from '@runner/train/checkpoint';

export const gpt = (layers: number, hidden: number, vocabulary = 50257): ModelConfig => ({
  model_type: 'gpt2',
  architectures: ['GPT2LMHeadModel'],
  vocab_size: vocabulary,
  n_embd: hidden,
  n_layer: layers,
  n_head: hidden / 64,
  n_positions: 1024,
});

/** Writes `dir`, and what its tokenizer is made from beside it. @returns `dir` */
export async function writeRandomModel(dir: string, config: ModelConfig): Promise<string> {
  const source = `${dir}.source`;
  await mkdir(source);
  const tokenizer = trainBpe('the old mage of the north and the old sword of the south', {
    vocabSize: 280,
    specialTokens: ['<|endoftext|>'],
  });
  await writeFile(join(source, 'tokenizer.json'), JSON.stringify(tokenizer));
  await writeFile(join(source, 'tokenizer_config.json'), '{"eos_token": "<|endoftext|>"}');
  const model = architectureOf(config, 'config.json').parse(config, 'config.json');
  const parameters = initializeParameters(model, 1);
  const weights = parameters.layout.tensors.map(({ name, shape }) => ({ name, shape, data: parameters.slice(name) }));
  await writeModelDir({ dir, sourceDir: source, config, weights });
  return dir;
}
