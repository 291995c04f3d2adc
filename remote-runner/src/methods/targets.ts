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

/** Every matrix but the head, in the model's order. */
export function matricesOf({ parameters, headWeight }: CausalLm): Matrix[] {
  return parameters.flatMap(({ name, shape, matrix: kind }) => {
    if (!kind || name === headWeight) return [];
    const [inner, out] = (kind === 'linear' ? [...shape].reverse() : shape) as [number, number];
    return [{ name: name.replace(/\.weight$/, ''), inner, out, kind }];
  });
}

/** As PEFT says that inputs are rows. */
export const isFanInFanOut = (matrices: readonly Matrix[]): boolean => matrices.some(({ kind }) => kind === 'conv1d');

export const headModule = ({ headWeight }: CausalLm): string => headWeight.replace(/\.weight$/, '');

/** What a recipe says of matrices: ends of names, a regular expression for whole names, or `all-linear`. */
export type WantedMatrices = string | readonly string[];

/**
 * In the model's order.
 * @param key of the recipe, for errors
 * @throws TuneyardError `recipe_invalid` that names what there is
 */
export function targetsOf(model: CausalLm, wanted: WantedMatrices, key: string): Matrix[] {
  const all = matricesOf(model);
  if (wanted === 'all-linear') return all;
  const found =
    typeof wanted === 'string' ? matching(all, wanted, key) : wanted.flatMap((end) => ending(all, end, key));
  if (found.length > 0) return all.filter((matrix) => found.includes(matrix));
  throw noneOf(all, JSON.stringify(wanted), key);
}

function matching(all: readonly Matrix[], pattern: string, key: string): Matrix[] {
  let whole: RegExp;
  try {
    whole = new RegExp(`^(?:${pattern})$`);
  } catch {
    throw new TuneyardError('recipe_invalid', `"${key}" is no regular expression: ${pattern}`);
  }
  return all.filter(({ name }) => whole.test(name));
}

/** @throws TuneyardError where one of several names means nothing: the others would hide the slip */
function ending(all: readonly Matrix[], end: string, key: string): Matrix[] {
  const found = all.filter(({ name }) => name === end || name.endsWith(`.${end}`));
  if (found.length === 0) throw noneOf(all, `"${end}"`, key);
  return found;
}

function noneOf(all: readonly Matrix[], what: string, key: string): TuneyardError {
  const ends = [...new Set(all.map(({ name }) => name.split('.').at(-1)))].join(', ');
  return new TuneyardError(
    'recipe_invalid',
    `"${key}" names ${what}, and the model has no such matrix; these are there: ${ends}.`,
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
