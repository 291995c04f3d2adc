/**
 * The tokens that end a text. transformers looks at `generation_config.json` only; here the tokenizer's own
 * end-of-sequence token counts as well, because that is what training puts behind each sample.
 *
 * @param generationConfig the model's `generation_config.json`, where it has one; `eos_token_id` is an id or a list
 */
export function eosTokens(
  tokenizer: { eosTokenId?: number | undefined },
  generationConfig?: Readonly<Record<string, unknown>>,
): number[] {
  const configured = generationConfig?.eos_token_id;
  const ids = Array.isArray(configured) ? configured : [configured];
  const all = [...ids, tokenizer.eosTokenId];
  return [...new Set(all.filter((id): id is number => typeof id === 'number'))];
}
