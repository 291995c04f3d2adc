/** Adapters of virtual tokens: no part of the weights, but rows in front of every text. */
import { join } from 'node:path';
import { TuneyardError } from '@protocol/errors';
import { sameShape } from '../graph/ir';
import { ADAPTER_WEIGHTS_FILE } from '../hub/modelFiles';
import type { CausalLm } from '../models/causalLm';
import type { ParameterSet } from '../train/arena';
import { type PeftAdapter, useless } from './peftAdapter';
import { withPrefix, withPrompt } from './softPrompt';

/** The model as it computes with the adapter; the model itself where the adapter goes into the weights. */
export function modelWith(model: CausalLm, adapter: PeftAdapter | undefined): CausalLm {
  if (adapter === undefined) return model;
  const { config } = adapter;
  switch (config.peft_type) {
    case 'PROMPT_TUNING':
    // What its network makes is saved.
    case 'P_TUNING':
      return withPrompt(model, config.num_virtual_tokens);
    case 'PREFIX_TUNING':
      return withPrefix(model, config.num_virtual_tokens);
    default:
      return model;
  }
}

/** For whoever would merge it. */
export function notInWeights({ dir, config }: PeftAdapter): TuneyardError {
  return new TuneyardError(
    'usage',
    `an adapter of ${config.peft_type} is no part of the weights, so it cannot be merged into them; use it as it is, here or with PEFT.`,
    { place: { file: dir } },
  );
}

/** @throws TuneyardError `weights_invalid` where the file holds something else, or what is no finite number */
export async function readVirtualTokens(
  adapter: PeftAdapter,
  model: CausalLm,
  into: ParameterSet,
  signal?: AbortSignal,
): Promise<void> {
  const { name, shape } = model.parameters.at(-1)!;
  const { weights, dir } = adapter;
  const stray = weights.names().find((found) => found !== name && !found.startsWith('prompt_encoder.'));
  if (stray !== undefined) throw useless(adapter, stray);
  if (!sameShape(weights.info(name).shape, shape)) throw useless(adapter, name);
  const values = await weights.readFloat32(name, into.slice(name), signal);
  if (values.every((value) => Number.isFinite(value))) return;
  throw new TuneyardError('weights_invalid', "the adapter's virtual tokens hold what is no finite number.", {
    place: { file: join(dir, ADAPTER_WEIGHTS_FILE) },
  });
}
