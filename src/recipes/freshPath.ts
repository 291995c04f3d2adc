/** Names that overwrite nothing. */
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { TuneyardError } from '@protocol/errors';
import * as l10n from '@vscode/l10n';
import { RECIPE_SUFFIX } from './recipeText';

/** Tries `name`, `name-2`, `name-3`, … until `make` does not find the name taken. */
async function withFreshName(name: string, make: (name: string) => Promise<void>): Promise<string> {
  for (let n = 1; ; n++) {
    const candidate = n === 1 ? name : `${name}-${n}`;
    try {
      await make(candidate);
      return candidate;
    } catch (error) {
      if (!(error instanceof Error && 'code' in error) || error.code !== 'EEXIST' || n >= 1000) throw error;
    }
  }
}

/**
 * Writes a recipe under a name that is not taken.
 * @param base its path without `.tune.json`
 * @returns the path written
 * @throws TuneyardError `not_writable`
 */
export async function writeFreshRecipe(base: string, text: string): Promise<string> {
  try {
    const name = await withFreshName(base, (path) => writeFile(path + RECIPE_SUFFIX, text, { flag: 'wx' }));
    return name + RECIPE_SUFFIX;
  } catch (cause) {
    throw notWritable(dirname(base), cause);
  }
}

/** Makes a folder under a name that is not taken. @throws TuneyardError `not_writable` */
export async function makeFreshFolder(parent: string, name: string): Promise<string> {
  try {
    await mkdir(parent, { recursive: true });
    return join(parent, await withFreshName(name, async (fresh) => void (await mkdir(join(parent, fresh)))));
  } catch (cause) {
    throw notWritable(parent, cause);
  }
}

function notWritable(folder: string, cause: unknown): TuneyardError {
  const why = cause instanceof Error && 'code' in cause ? String(cause.code) : String(cause);
  return new TuneyardError(
    'not_writable',
    l10n.t('Nothing can be written into {0} ({1}). Check its permissions, or use data in another folder.', folder, why),
    { cause },
  );
}
