import { recipeSchema } from '@protocol/recipe';
import { z } from 'zod';

/** The recipe as a JSON Schema (draft 7, which editors know): what a person may write, so keys with a default are optional. */
export function recipeJsonSchema(): Record<string, unknown> {
  // The last key is VS Code's: recipes may have trailing commas.
  return { ...z.toJSONSchema(recipeSchema, { io: 'input', target: 'draft-7' }), allowTrailingCommas: true };
}
