/** The architectures: one line each. */
import { TuneyardError } from '@protocol/errors';
import type { ModelConfig } from '../hub/modelDir';
import { bloom } from './bloom';
import type { Architecture } from './causalLm';
import { gemma2, gemma3 } from './gemma';
import { gpt2 } from './gpt2';
import { gptNeo } from './gptNeo';
import { gptNeoX } from './gptNeoX';
import { llama } from './llama';
import { mistral } from './mistral';
import { opt } from './opt';
import { phi3 } from './phi3';
import { qwen2 } from './qwen2';
import { qwen3 } from './qwen3';

const ARCHITECTURES: ReadonlyMap<string, Architecture> = new Map(
  [gpt2, gptNeo, gptNeoX, opt, bloom, llama, mistral, qwen2, qwen3, gemma2, gemma3, phi3].map((a) => [a.modelType, a]),
);

/** @throws TuneyardError `model_unsupported` that names the `model_type` and those that are supported */
export function architectureOf(config: ModelConfig, file: string): Architecture {
  const found = ARCHITECTURES.get(config.model_type);
  if (!found) {
    throw new TuneyardError(
      'model_unsupported',
      `models of type "${config.model_type}" are not supported; these are: ${[...ARCHITECTURES.keys()].join(', ')}.`,
      { place: { file } },
    );
  }
  return found;
}
