/** Which matrices of a model a method is about, said as PEFT says it. */
import { TuneyardError } from '@protocol/errors';
import type { CausalLm } from '../models/causalLm';

/** A matrix that rows are multiplied by. */
export interface Matrix {
  /** Without ".weight". */
  readonly name: string;
  readonly inner: number;
  readonly out: number;
  readonly kind: 'linear' | 'conv1d';
}

/** PEFT's own choice where a recipe makes none (`TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING`). */
const DEFAULT_TARGETS: Readonly<Record<string, readonly string[]>> = {
  bloom: ['query_key_value'],
  gpt2: ['c_attn'],
  gpt_neox: ['query_key_value'],
  phi3: ['qkv_proj'],
};
const QUERY_AND_VALUE = ['q_proj', 'v_proj'];

/** Every matrix but the head, in the model's order. */
export function matricesOf({ parameters, headWeight }: CausalLm): Matrix[] {
  return parameters.flatMap(({ name, shape, matrix: kind }) => {
    if (!kind || name === headWeight) return [];
    const [inner, out] = (kind === 'linear' ? [...shape].reverse() : shape) as [number, number];
    return [{ name: name.replace(/\.weight$/, ''), inner, out, kind }];
  });
}

export const headModule = ({ headWeight }: CausalLm): string => headWeight.replace(/\.weight$/, '');

/**
 * @param wanted ends of names, a regular expression for whole names, or `all-linear`; default: {@link DEFAULT_TARGETS}
 * @throws TuneyardError `recipe_invalid` that names what there is
 */
export function targetsOf(model: CausalLm, wanted: string | readonly string[] | undefined): Matrix[] {
  const all = matricesOf(model);
  if (wanted === 'all-linear') return all;
  const chosen = wanted ?? DEFAULT_TARGETS[model.modelType] ?? QUERY_AND_VALUE;
  const found = typeof chosen === 'string' ? matching(all, chosen) : chosen.flatMap((end) => ending(all, end));
  if (found.length > 0) return all.filter((matrix) => found.includes(matrix));
  throw noneOf(all, JSON.stringify(chosen));
}

function matching(all: readonly Matrix[], pattern: string): Matrix[] {
  let whole: RegExp;
  try {
    whole = new RegExp(`^(?:${pattern})$`);
  } catch {
    throw new TuneyardError('recipe_invalid', `"lora.target_modules" is no regular expression: ${pattern}`);
  }
  return all.filter(({ name }) => whole.test(name));
}

/** @throws TuneyardError where one of several names means nothing: the others would hide the slip */
function ending(all: readonly Matrix[], end: string): Matrix[] {
  const found = all.filter(({ name }) => name === end || name.endsWith(`.${end}`));
  if (found.length === 0) throw noneOf(all, `"${end}"`);
  return found;
}

function noneOf(all: readonly Matrix[], what: string): TuneyardError {
  const ends = [...new Set(all.map(({ name }) => name.split('.').at(-1)))].join(', ');
  return new TuneyardError(
    'recipe_invalid',
    `"lora.target_modules" names ${what}, and the model has no such matrix; these are there: ${ends}.`,
  );
}

/** Names of the parameters of modules whose names end so. */
export function modulesEndingIn({ parameters }: CausalLm, end: string): string[] {
  return parameters
    .map(({ name }) => name)
    .filter((name) => {
      const module = name.replace(/\.[^.]+$/, '');
      return module === end || module.endsWith(`.${end}`);
    });
}
