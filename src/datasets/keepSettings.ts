/** Writes what was tried in the dataset panel into a recipe, leaving all else and every comment as it stands. */
import type { DatasetSettings } from '@protocol/datasetPanel';
import { applyEdits, type JSONPath, modify } from 'jsonc-parser';
import { isRecord, parseRecipe } from '../recipes/recipeText';

const FORMATTING = { formattingOptions: { insertSpaces: true, tabSize: 2 } };

export function withSettings(text: string, before: DatasetSettings, after: DatasetSettings): string {
  const dataset = parseRecipe(text).value?.dataset;
  let now = text;
  const put = (path: JSONPath, value: unknown) => {
    now = applyEdits(now, modify(now, path, value, FORMATTING));
  };
  if (after.max_length !== before.max_length) put(['max_length'], after.max_length);
  if (after.model !== before.model && after.model !== undefined) put(['model'], after.model);
  const ofData = (['config', 'split', 'format', 'template', 'train_on_prompt'] as const).filter(
    (key) => after[key] !== before[key],
  );
  if (ofData.length > 0 && !isRecord(dataset)) put(['dataset'], { path: dataset });
  for (const key of ofData) put(['dataset', key], after[key]);
  return now;
}
