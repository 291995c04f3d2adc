/** What a `SampleView` is made from, for another thread. */
import type { DatasetRecipe } from '@protocol/recipe';

export interface ViewSpec {
  recipe: DatasetRecipe;
  columns: string[];
  /** The model's folder; absent: words are counted. */
  model?: string;
  maxLength: number;
  path: string;
  fileFormat: string;
}
