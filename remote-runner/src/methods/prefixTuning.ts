/** Learnt keys and values in front of every text, in every layer; nothing else changes. */
import { type Method, softPromptMethod } from './method';
import { withPrefix } from './softPrompt';

export const prefixTuning: Method = {
  name: 'prefix_tuning',
  prepare(model, { prefix_tuning: { num_virtual_tokens: count } }, base) {
    return softPromptMethod(model, withPrefix(model, count), {
      peft_type: 'PREFIX_TUNING',
      base_model_name_or_path: base,
      prefix_projection: false,
      // PEFT counts heads of keys and values here.
      num_attention_heads: model.kvHeads,
      token_dim: model.kvHeads * model.headDim,
      encoder_hidden_size: model.kvHeads * model.headDim,
    });
  },
};
