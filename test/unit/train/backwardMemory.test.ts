/** What a backward pass holds at a time belongs to one layer: a deeper model takes no more of it. */
import { recipeSchema } from '@protocol/recipe';
import { planMemory } from '@runner/graph/memoryPlan';
import { buildModel } from '@runner/graph/onnx';
import { optimize } from '@runner/graph/passes/index';
import { prepareMethod } from '@runner/methods/index';
import { architectureOf } from '@runner/models/index';
import { newBuilder, ops } from '@runner/ops/index';
import { buildTraining } from '@runner/train/bodyProgram';
import { precisionOf } from '@runner/train/precision';
import { describe, expect, it } from 'vitest';

const config = (layers: number) => ({
  ...{ model_type: 'mistral', vocab_size: 320, hidden_size: 64, intermediate_size: 224, num_hidden_layers: layers },
  ...{ num_attention_heads: 4, num_key_value_heads: 2, max_position_embeddings: 512, rms_norm_eps: 1e-5 },
  ...{ rope_theta: 10_000, sliding_window: null, hidden_act: 'silu', tie_word_embeddings: false },
});

function backwardBytes(layers: number, settings: Record<string, unknown>, accumulate: boolean, checkpointing: boolean) {
  const recipe = recipeSchema.parse({ model: 'm', dataset: 'd', ...settings });
  const base = architectureOf(config(layers), 'c').parse(config(layers), 'c');
  const { model, trainable } = prepareMethod(base, recipe, 'm');
  const shape = { batch: 2, length: 96, tokens: 192 };
  const options = { trainable, accumulate, checkpointing };
  const { backward } = buildTraining(newBuilder('body', precisionOf(recipe)), model, shape, options);
  return Math.max(...backward.map((graph) => planMemory(buildModel(optimize(graph, ops), ops), 0).bytes));
}

const lora = { target_modules: 'all-linear', lora_dropout: 0.1 };

describe.each([
  ['full', {}],
  ['full in bf16', { bf16: true }],
  ['lora', { method: 'lora', lora }],
  ['lora in bf16', { method: 'lora', lora, bf16: true }],
  ['qlora', { method: 'qlora', lora }],
  ['qlora in bf16', { method: 'qlora', lora, bf16: true }],
])('%s', (_, settings) => {
  it.each([
    ['the first batch of a step', false, false],
    ['a batch whose gradients are added', true, false],
    ['the first batch, layers computed again', false, true],
    ['a batch whose gradients are added, layers computed again', true, true],
  ])('%s', (_name, accumulate, checkpointing) => {
    const [shallow, deep] = [2, 8].map((layers) => backwardBytes(layers, settings, accumulate, checkpointing));
    expect(deep! / shallow!).toBeLessThan(1.25);
  });
});
