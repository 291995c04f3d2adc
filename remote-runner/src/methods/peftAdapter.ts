/** Adapters in PEFT's format: a folder with `adapter_config.json` and `adapter_model.safetensors` beside a base model. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { TuneyardError } from '@protocol/errors';
import { z } from 'zod';
import { systemErrorCode } from '../hub/diskError';
import { ADAPTER_CONFIG_FILE, ADAPTER_WEIGHTS_FILE } from '../hub/modelFiles';
import { openSafetensors } from '../hub/safetensors';
import type { Weights } from '../hub/weights';

const shared = { base_model_name_or_path: z.string().min(1) };

const loraConfig = z.object({
  ...shared,
  peft_type: z.literal('LORA'),
  r: z.number().int().positive(),
  lora_alpha: z.number().positive(),
  use_rslora: z.boolean().default(false),
  use_dora: z.boolean().default(false),
  rank_pattern: z.record(z.string(), z.number()).nullish(),
  alpha_pattern: z.record(z.string(), z.number()).nullish(),
});

const configSchema = z.discriminatedUnion('peft_type', [
  loraConfig,
  z.object({ ...shared, peft_type: z.literal('IA3') }),
  // What p-tuning computes its embeddings with is not saved: they are a prompt's.
  z.object({
    ...shared,
    peft_type: z.enum(['PROMPT_TUNING', 'P_TUNING', 'PREFIX_TUNING']),
    num_virtual_tokens: z.number().int().positive(),
  }),
]);

type AdapterConfig = z.infer<typeof configSchema>;

export interface PeftAdapter {
  readonly dir: string;
  /** The base model: a folder or a hub name. */
  readonly base: string;
  readonly config: AdapterConfig;
  readonly weights: Weights;
}

/** An adapter of one kind. */
export type AdapterOf<Kind extends AdapterConfig['peft_type']> = PeftAdapter & {
  readonly config: Extract<AdapterConfig, { peft_type: Kind }>;
};

export const isOfKind = <Kind extends AdapterConfig['peft_type']>(
  adapter: PeftAdapter,
  kind: Kind,
): adapter is AdapterOf<Kind> => adapter.config.peft_type === kind;

/** @throws TuneyardError `model_invalid`, `model_unsupported` for another kind of adapter; undefined where there is none */
export async function openAdapter(dir: string): Promise<PeftAdapter | undefined> {
  const file = join(dir, ADAPTER_CONFIG_FILE);
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
  const place = { file };
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new TuneyardError('model_invalid', 'is not JSON.', { place, cause: error });
  }
  const config = configSchema.safeParse(json);
  if (!config.success) {
    const [issue] = config.error.issues;
    const key = issue?.path.join('.') ?? '';
    const value = JSON.stringify((json as Record<string, unknown> | null)?.[key]);
    throw new TuneyardError(
      'model_unsupported',
      `"${key}": ${value} is not supported; adapters of LoRA, (IA)³, prompt tuning, p-tuning and prefix tuning are.`,
      {
        place,
      },
    );
  }
  const weights = await openSafetensors(join(dir, ADAPTER_WEIGHTS_FILE));
  return { dir, base: config.data.base_model_name_or_path, config: config.data, weights };
}

/** What computing a matrix in float64 and rounding it once did. */
export interface Rounding {
  /** The largest rounding error of a weight. */
  readonly error: number;
  /** The largest weight. */
  readonly largest: number;
}

/** For a tensor that fits nowhere. */
export function useless({ dir }: PeftAdapter, name: string): TuneyardError {
  return new TuneyardError('weights_invalid', `the model has no use for the adapter's tensor ${name}.`, {
    place: { file: join(dir, ADAPTER_WEIGHTS_FILE) },
  });
}
