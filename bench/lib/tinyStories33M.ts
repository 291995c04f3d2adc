/** TinyStories-33M's shape (Eldan & Li 2023): GPT-Neo, 4 layers, hidden 768, 16 heads, vocabulary 50,257, tied. */
import { Random } from '@runner/data/random';
import type { ModelConfig } from '@runner/hub/modelDir';
import type { CausalLm } from '@runner/models/causalLm';
import { gptNeo } from '@runner/models/gptNeo';
import type { Arena } from '@runner/train/arena';

export const TINY_STORIES_33M: ModelConfig = {
  model_type: 'gpt_neo',
  architectures: ['GPTNeoForCausalLM'],
  vocab_size: 50257,
  hidden_size: 768,
  num_layers: 4,
  num_heads: 16,
  max_position_embeddings: 2048,
  window_size: 256,
  attention_types: [[['global', 'local'], 2]],
  activation_function: 'gelu_new',
  layer_norm_epsilon: 1e-5,
  initializer_range: 0.02,
  attention_dropout: 0,
  embed_dropout: 0,
  resid_dropout: 0,
  tie_word_embeddings: true,
  bos_token_id: 50256,
  eos_token_id: 50256,
};

export function tinyStories33M(): CausalLm {
  return gptNeo.parse(TINY_STORIES_33M, 'tinyStories33M');
}

/** Random weights as a fresh model has them (uniform of the same variance: only the speed matters here). */
export function randomize(model: CausalLm, parameters: Arena, seed: number): void {
  const random = new Random(seed);
  for (const { name, init } of model.parameters) {
    const into = parameters.slice(name);
    if (init.kind !== 'normal') into.fill(init.kind === 'ones' ? 1 : 0);
    else for (let i = 0; i < into.length; i++) into[i] = (random.nextFloat() - 0.5) * init.std * Math.sqrt(12);
  }
}
