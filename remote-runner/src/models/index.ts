/** The architectures: one line each. */
import { TuneyardError } from '@protocol/errors';
import type { ModelConfig } from '../hub/modelDir';
import type { Architecture } from './causalLm';
import { gpt2 } from './gpt2';
import { gptNeo } from './gptNeo';

const ARCHITECTURES: ReadonlyMap<string, Architecture> = new Map([gpt2, gptNeo].map((a) => [a.modelType, a]));

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
