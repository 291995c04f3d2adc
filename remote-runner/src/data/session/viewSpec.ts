/** What a {@link SampleView} is made from, for another thread. */
import type { DatasetRecipe } from '@protocol/recipe';
import { wordTokenizer } from '../../cli/wordTokenizer';
import { SampleView } from './sampleView';
import { sessionModel } from './sessionModel';

export interface ViewSpec {
  recipe: DatasetRecipe;
  columns: string[];
  /** The model's folder; absent: words are counted. */
  model?: string;
  maxLength: number;
  path: string;
  fileFormat: string;
}

export async function makeView({ model, ...options }: ViewSpec): Promise<SampleView> {
  const tokenizer = model === undefined ? wordTokenizer() : (await sessionModel(model)).tokenizer;
  return new SampleView({ ...options, tokenizer });
}
