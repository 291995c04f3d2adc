/** What a `SampleView` is made from, for another thread. */
import type { DatasetRecipe } from '@protocol/recipe';
import type { ResolvedFormat } from '../formats/resolveFormat';

export interface ViewSpec {
  recipe: DatasetRecipe;
  columns: string[];
  sampleFormat: ResolvedFormat;
  /** The model's folder; absent: words are counted. */
  model?: string;
  maxLength: number;
  path: string;
  fileFormat: string;
}
