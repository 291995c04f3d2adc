import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { TuneyardError } from '@protocol/errors';
import { systemErrorCode } from './diskError';
import { CONFIG_FILE, GENERATION_CONFIG_FILE } from './modelFiles';
import { openWeights } from './safetensors';
import type { Weights } from './weights';

/** A `config.json` as it stands in the file; only `model_type` has been looked at. */
export type ModelConfig = Record<string, unknown> & { model_type: string };

/** A Hugging Face model directory, opened for reading. */
export interface ModelDir {
  dir: string;
  /** Path of the `config.json`, for messages. */
  configFile: string;
  config: ModelConfig;
  /** The `generation_config.json`, where there is one. */
  generationConfig: Record<string, unknown> | undefined;
  weights: Weights;
}

/**
 * Opens a model directory: configuration and weights. The tokenizer is its reader's business.
 * @throws TuneyardError `file_not_found` (no such folder), `model_invalid` (config missing or damaged),
 *   `weights_invalid`, `weights_pickled`
 */
export async function openModelDir(dir: string): Promise<ModelDir> {
  const stats = await stat(dir).catch(() => undefined);
  if (!stats?.isDirectory()) {
    throw new TuneyardError('file_not_found', 'there is no such model folder; check the path.', {
      place: { file: dir },
    });
  }
  const configFile = join(dir, CONFIG_FILE);
  const config = await readObject(configFile);
  if (!config) {
    throw new TuneyardError(
      'model_invalid',
      `${CONFIG_FILE} is missing, so this is not a model in Hugging Face’s format.`,
      { place: { file: dir } },
    );
  }
  if (!hasModelType(config)) {
    throw new TuneyardError('model_invalid', 'names no "model_type" (such as "gpt2").', {
      place: { file: configFile },
    });
  }
  const generationConfig = await readObject(join(dir, GENERATION_CONFIG_FILE));
  return { dir, configFile, config, generationConfig, weights: await openWeights(dir) };
}

function hasModelType(config: Record<string, unknown>): config is ModelConfig {
  return typeof config.model_type === 'string' && config.model_type !== '';
}

/** A JSON file with an object in it, or undefined where there is no file. */
async function readObject(file: string): Promise<Record<string, unknown> | undefined> {
  let json: unknown;
  try {
    json = JSON.parse(await readFile(file, 'utf8'));
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined;
    const what = error instanceof SyntaxError ? `is not JSON: ${error.message}` : 'cannot be read';
    throw new TuneyardError('model_invalid', `${what}.`, { place: { file }, cause: error });
  }
  if (typeof json !== 'object' || json === null || Array.isArray(json)) {
    throw new TuneyardError('model_invalid', 'is not a JSON object.', { place: { file } });
  }
  return json as Record<string, unknown>;
}
