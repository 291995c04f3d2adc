/** `--set key=value`: settings from the command line, laid over what a recipe's file says. */
import { TuneyardError } from '@protocol/errors';

export interface Setting {
  /** `generation.top_k` as `['generation', 'top_k']`. */
  path: string[];
  value: unknown;
  /** The value as it was typed. */
  raw: string;
  /** All of it as it was typed, for messages. */
  text: string;
}

/**
 * @param text `key=value` with a dotted key; the value is JSON, or a text where it is none
 * @throws TuneyardError `usage`
 */
export function parseSetting(text: string): Setting {
  const equals = text.indexOf('=');
  const path = text.slice(0, Math.max(0, equals)).trim().split('.');
  if (equals < 1 || path.some((part) => part === '')) {
    throw new TuneyardError('usage', `--set ${text}: write it as key=value, such as --set learning_rate=1e-4.`);
  }
  const raw = text.slice(equals + 1).trim();
  return { path, value: parseValue(raw), raw, text };
}

function parseValue(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/**
 * Lays a setting over a recipe's raw content, in place. `dataset.x` also works where the recipe has only a path there.
 * @throws TuneyardError `recipe_invalid` where the key's parent is not an object
 */
export function applySetting(recipe: Record<string, unknown>, { path, value, text }: Setting): void {
  let parent = recipe;
  for (const [depth, key] of path.slice(0, -1).entries()) {
    let child = own(parent, key);
    if (depth === 0 && key === 'dataset' && typeof child === 'string') child = { path: child };
    child ??= {};
    if (!isRecord(child)) {
      const name = path.slice(0, depth + 1).join('.');
      throw new TuneyardError('recipe_invalid', `"${name}" has no keys in it, so "${path.join('.')}" cannot be set.`, {
        place: { file: `--set ${text}` },
        data: { key: path.join('.') },
      });
    }
    define(parent, key, child);
    parent = child;
  }
  define(parent, path.at(-1)!, value);
}

/** No key, whatever its name, reaches a prototype. */
function own(object: Record<string, unknown>, key: string): unknown {
  return Object.hasOwn(object, key) ? object[key] : undefined;
}

function define(object: Record<string, unknown>, key: string, value: unknown): void {
  Object.defineProperty(object, key, { value, enumerable: true, configurable: true, writable: true });
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
