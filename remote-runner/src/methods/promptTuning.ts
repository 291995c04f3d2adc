/** Learnt embeddings in front of every text; nothing else changes. */
import { TuneyardError } from '@protocol/errors';
import type { PromptTuningRecipe } from '@protocol/recipe';
import { Random } from '../data/random';
import type { CausalLm, ParameterSpec } from '../models/causalLm';
import { type Encode, type Method, softPromptMethod } from './method';
import { withPrompt } from './softPrompt';

export const promptTuning: Method = {
  name: 'prompt_tuning',
  prepare(model, recipe, base, encode) {
    const { prompt_tuning: options, seed } = recipe;
    const adapted = withPrompt(model, options.num_virtual_tokens, initOf(model, options, seed, encode));
    return softPromptMethod(model, adapted, {
      peft_type: 'PROMPT_TUNING',
      base_model_name_or_path: base,
      prompt_tuning_init: options.prompt_tuning_init,
      prompt_tuning_init_text: options.prompt_tuning_init_text ?? null,
      tokenizer_name_or_path: base,
    });
  },
};

/** The embeddings that training begins with: random, of words drawn from the vocabulary, or of a text over and over. */
function initOf(
  { vocabSize, embedding }: CausalLm,
  { num_virtual_tokens: count, prompt_tuning_init: how, prompt_tuning_init_text: text = '' }: PromptTuningRecipe,
  seed: number,
  encode: Encode | undefined,
): ParameterSpec['init'] | undefined {
  if (how === 'RANDOM') return undefined;
  if (how === 'SAMPLE_VOCAB') {
    const random = new Random(seed, 0);
    const rows = Array.from({ length: count }, () => Math.floor(random.nextFloat() * vocabSize));
    return { kind: 'rows', of: embedding, rows };
  }
  const ids = encode?.(text) ?? [];
  if (ids.length === 0) {
    throw new TuneyardError('recipe_invalid', '"prompt_tuning.prompt_tuning_init_text" holds no token to begin with.');
  }
  return { kind: 'rows', of: embedding, rows: Array.from({ length: count }, (_, i) => ids[i % ids.length]!) };
}
