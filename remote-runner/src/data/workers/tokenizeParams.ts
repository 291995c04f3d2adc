/** What a thread needs to tokenize rows as training does. */
import type { DatasetRecipe } from '@protocol/recipe';
import type { ResolvedFormat } from '../formats/resolveFormat';
import type { Row } from '../readers';

export interface TokenizeParams {
  /** The tokenizer's folder. */
  dir: string;
  /** As `DatasetRows`. */
  data: { path: string; format: string; columns: string[]; sampleFormat: ResolvedFormat };
  recipe: DatasetRecipe;
  maxLength: number;
  rows: readonly Row[];
}
