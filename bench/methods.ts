/**
 * Ways to fine-tune here and under transformers' Trainer with peft (and bitsandbytes), SmolLM-135M's shape with random
 * weights, AdamW, 4 samples of 256 tokens a batch, adapters of rank 8 beside every matrix:
 *
 *   full, lora, qlora   all tokens are learnt
 *   label               lora, where only the last token of each sample is
 *   prompt              the same by prompt tuning, 20 virtual tokens
 *   label 33M, prompt 33M   both at TinyStories-33M's shape, whose head is more than half of its work
 *
 * usage: npm run bench -- methods [--peer PYTHON] [--cuda] [--bf16] [--only NAME] [--steps N] [--rounds N]
 * PYTHON has torch, transformers, peft and bitsandbytes.
 */
import type { ModelConfig } from '@runner/hub/modelDir';
import { compare, fullSamples } from './lib/peers';
import { TINY_STORIES_33M } from './lib/tinyStories33M';

const SMOL_LM_135M: ModelConfig = {
  model_type: 'llama',
  architectures: ['LlamaForCausalLM'],
  hidden_act: 'silu',
  vocab_size: 49152,
  hidden_size: 576,
  intermediate_size: 1536,
  num_hidden_layers: 30,
  num_attention_heads: 9,
  num_key_value_heads: 3,
  max_position_embeddings: 2048,
  rms_norm_eps: 1e-5,
  rope_theta: 10000,
  tie_word_embeddings: true,
};
const BATCH = 4;
const LENGTH = 256;
const all = () => fullSamples(BATCH, LENGTH, SMOL_LM_135M.vocab_size as number);
const labels = () =>
  all().map(({ input_ids }) => ({ input_ids, labels: input_ids.map((id, i) => (i === LENGTH - 1 ? id : -100)) }));
const shape = { config: SMOL_LM_135M, batch: BATCH, pad: 'max' } as const;
await compare('methods', {
  full: { ...shape, samples: all, method: 'full' },
  lora: { ...shape, samples: all, method: 'lora' },
  qlora: { ...shape, samples: all, method: 'qlora' },
  label: { ...shape, samples: labels, method: 'lora' },
  prompt: { ...shape, samples: labels, method: 'prompt_tuning' },
  'label 33M': { ...shape, config: TINY_STORIES_33M, samples: labels, method: 'lora' },
  'prompt 33M': { ...shape, config: TINY_STORIES_33M, samples: labels, method: 'prompt_tuning' },
});
