/** What a thread needs to tokenize rows as training does. */
import type { DatasetRecipe } from '@protocol/recipe';
import type { Row } from '../readers';
import type { ResolvedTemplate } from '../templates';

export interface TokenizeParams {
  /** The tokenizer's folder. */
  dir: string;
  /** As `DatasetRows`. */
  data: { path: string; format: string; columns: string[]; template: ResolvedTemplate };
  recipe: DatasetRecipe;
  maxLength: number;
  rows: readonly Row[];
}
