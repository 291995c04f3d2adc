/** What is wrong with a recipe beyond its form, which the schema checks: files, columns, memory. */
import type { ErrorCode, TuneyardError } from '@protocol/errors';
import type { Estimate } from '@protocol/runner';
import * as l10n from '@vscode/l10n';
import { formatBytes } from '../ui/format';
import { type HostMemory, neededBytes } from './hostMemory';
import { kindOf, recipePaths } from './recipePaths';
import { isRecord, type KeyPath } from './recipeText';

export interface Finding {
  /** Where in the recipe. */
  key: KeyPath;
  message: string;
  severity: 'error' | 'warning';
  code: ErrorCode;
}

/** Files and folders that the recipe names and that are not there. */
export async function missingFiles(recipe: Record<string, unknown>, dir: string): Promise<Finding[]> {
  const checked = recipePaths(recipe, dir).map(async ({ key, path, kind }): Promise<Finding[]> => {
    const found = await kindOf(path);
    const error = (message: string): Finding[] => [{ key, message, severity: 'error', code: 'file_not_found' }];
    if (kind === 'dataset') {
      if (found === undefined) return error(l10n.t('There is no file {0}.', path));
      return found === 'folder' ? error(l10n.t('{0} is a folder; name the file with the samples.', path)) : [];
    }
    // A checkpoint may lie on the host.
    if (kind === 'checkpoint') return [];
    if (found === undefined) return error(l10n.t('There is no model folder {0}.', path));
    return found === 'file' ? error(l10n.t('{0} is a file; name the folder with the model.', path)) : [];
  });
  return (await Promise.all(checked)).flat();
}

/** What a command of the runner failed with, at the key it is about. Undefined where it says nothing of the recipe. */
export function findingOf(error: TuneyardError, recipe: Record<string, unknown>): Finding | undefined {
  const { code, what, data, place } = error;
  const key = keyOf(error, recipe);
  if (!key) return undefined;
  const text = what.charAt(0).toLocaleUpperCase() + what.slice(1);
  const line = code !== 'recipe_invalid' && place?.line !== undefined ? ` (${place.file}:${place.line})` : '';
  return {
    key: typeof data.key === 'string' ? data.key.split('.') : key,
    message: text + line,
    severity: 'error',
    code,
  };
}

function keyOf({ code, data }: TuneyardError, recipe: Record<string, unknown>): KeyPath | undefined {
  switch (code) {
    case 'recipe_invalid':
      return typeof data.key === 'string' ? data.key.split('.') : [];
    case 'column_missing':
    case 'template_invalid': {
      const { dataset } = recipe;
      if (!isRecord(dataset)) return ['dataset'];
      if (code === 'column_missing' && dataset.target_column !== undefined && dataset.target_column === data.column) {
        return ['dataset', 'target_column'];
      }
      return dataset.template === undefined ? ['dataset', 'path'] : ['dataset', 'template'];
    }
    case 'dataset_invalid':
    case 'dataset_empty':
    case 'encoding_invalid':
    case 'no_supervised_tokens':
      return isRecord(recipe.dataset) ? ['dataset', 'path'] : ['dataset'];
    case 'model_invalid':
    case 'model_unsupported':
    case 'weights_invalid':
    case 'weights_pickled':
    case 'tokenizer_invalid':
    case 'vocabulary_too_small':
    case 'hub_failed':
      return ['model'];
    case 'checkpoint_invalid':
      return ['resume_from_checkpoint'];
    case 'device_unavailable':
      return ['device'];
    case 'out_of_memory':
      return batchKey(recipe);
    default:
      return undefined;
  }
}

/** That a run will not fit into a host's memory. */
export function memoryFinding(
  estimate: Estimate,
  memory: HostMemory,
  recipe: Record<string, unknown>,
): Finding | undefined {
  const needed = neededBytes(estimate, memory);
  if (needed <= memory.bytes) return undefined;
  const message = l10n.t(
    'This needs {0} of memory, and {1} has {2} free. Make per_device_train_batch_size or max_length smaller, or choose another host.',
    formatBytes(needed),
    memory.label,
    formatBytes(memory.bytes),
  );
  return { key: batchKey(recipe), message, severity: 'warning', code: 'out_of_memory' };
}

function batchKey(recipe: Record<string, unknown>): KeyPath {
  const keys = ['per_device_train_batch_size', 'max_length', 'model'];
  return [keys.find((key) => recipe[key] !== undefined) ?? 'model'];
}
