/** A random GPT-Neo with more positions than the fixtures' models, so that caches must grow. */
import { Random } from '@runner/data/random';
import type { CausalLm } from '@runner/models/causalLm';
import { gptNeo } from '@runner/models/gptNeo';
import { Arena, layoutArena } from '@runner/train/arena';

/** Layers see all, 5 and 90 tokens: windows shorter than a prompt, and longer than the smallest cache. */
export function smallNeo(positions: number, seed = 1): { model: CausalLm; parameters: Arena } {
  const parse = (window: number, types: readonly string[]) =>
    gptNeo.parse(
      {
        model_type: 'gpt_neo',
        vocab_size: 41,
        hidden_size: 16,
        num_layers: 3,
        num_heads: 2,
        max_position_embeddings: positions,
        window_size: window,
        attention_types: [[types, 1]],
      },
      'smallNeo',
    );
  const short = parse(5, ['global', 'local', 'local']);
  // A model of one file has one window; the third layer's is made longer here.
  const model: CausalLm = {
    ...short,
    body: (context) =>
      short.body({
        ...context,
        attend: (q, k, v, options) =>
          context.attend(q, k, v, options.layer === 2 ? { ...options, window: 90 } : options),
      }),
  };
  const parameters = new Arena(layoutArena(model.parameters));
  const random = new Random(seed);
  for (const { name } of model.parameters) {
    const into = parameters.slice(name);
    for (let i = 0; i < into.length; i++) into[i] = random.nextFloat() - 0.5;
  }
  return { model, parameters };
}

/** Token ids of a text, the same for the same seed. */
export function randomTokens(length: number, seed: number): Int32Array {
  const random = new Random(seed);
  return Int32Array.from({ length }, () => Math.floor(random.nextFloat() * 41));
}
