/** Typed reading of a model's `config.json`. A key that is absent or null takes the default, where there is one. */
import { TuneyardError } from '@protocol/errors';
import type { ModelConfig } from './modelDir';

/**
 * A whole number of at least 0.
 * @throws TuneyardError `model_invalid` where it is missing (and has no default) or something else
 */
export function requireInt(config: ModelConfig, key: string, file: string, fallback?: number): number {
  const value = config[key] ?? fallback;
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
  throw wrong(config, key, file, 'a whole number');
}

/** A finite number. @throws TuneyardError `model_invalid` */
export function requireNumber(config: ModelConfig, key: string, file: string, fallback?: number): number {
  const value = config[key] ?? fallback;
  if (typeof value === 'number' && Number.isFinite(value)) return value;
  throw wrong(config, key, file, 'a number');
}

/** @throws TuneyardError `model_invalid` */
export function requireString(config: ModelConfig, key: string, file: string, fallback?: string): string {
  const value = config[key] ?? fallback;
  if (typeof value === 'string') return value;
  throw wrong(config, key, file, 'a string');
}

/** @throws TuneyardError `model_invalid` */
export function requireBoolean(config: ModelConfig, key: string, file: string, fallback?: boolean): boolean {
  const value = config[key] ?? fallback;
  if (typeof value === 'boolean') return value;
  throw wrong(config, key, file, 'true or false');
}

function wrong(config: ModelConfig, key: string, file: string, wanted: string): TuneyardError {
  const value = config[key];
  const found = value === undefined || value === null ? 'is missing' : `is ${JSON.stringify(value).slice(0, 60)}`;
  return new TuneyardError('model_invalid', `"${key}" ${found}, where a ${config.model_type} model needs ${wanted}.`, {
    place: { file },
    data: { key },
  });
}
