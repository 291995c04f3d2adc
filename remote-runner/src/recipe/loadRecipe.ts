/** From a `*.tune.json` file, and what the command line sets over it, to a recipe with every default filled in. */
import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { type ErrorPlace, TuneyardError } from '@protocol/errors';
import { recipeSchema } from '@protocol/recipe';
import type { core } from 'zod';
import { systemErrorCode } from '../hub/diskError';
import type { LoadedRecipe } from '../jobs/requests';
import { type RecipeProblem, recipeProblems } from './recipeProblems';
import { parseRecipeText, type RecipeText } from './recipeText';
import { resolvePaths } from './resolvePaths';
import { applySetting, isRecord, parseSetting, type Setting } from './settings';

/**
 * Reads a recipe. Its relative paths, also those set on the command line, start from the file's folder, and come back
 * absolute.
 *
 * @param file a `*.tune.json`: JSON with comments and trailing commas
 * @param settings `key=value` each, laid over the file in their order
 * @throws TuneyardError `file_not_found`; `encoding_invalid`; `recipe_invalid` with the place of the first problem, and
 *   all of them as `data.problems`; `usage` for a malformed setting
 */
export async function loadRecipe(file: string, settings: readonly string[] = []): Promise<LoadedRecipe> {
  const text = parseRecipeText(await readText(file), file);
  const path = resolve(file);
  return { ...checkRecipe(text.value, settings, dirname(path), file, text), path };
}

/**
 * A recipe that has no file: made of settings alone.
 * @param content what counts where no setting says otherwise
 * @param baseDir folder that relative paths start from
 * @throws as {@link loadRecipe}
 */
export function recipeFromSettings(
  content: Record<string, unknown>,
  settings: readonly string[],
  baseDir: string,
): LoadedRecipe {
  return checkRecipe(structuredClone(content), settings, baseDir, 'recipe', undefined);
}

function checkRecipe(
  content: unknown,
  settings: readonly string[],
  baseDir: string,
  file: string,
  text: RecipeText | undefined,
): LoadedRecipe {
  const set = settings.map(parseSetting);
  if (isRecord(content)) for (const setting of set) applySetting(content, setting);

  let checked = recipeSchema.safeParse(content);
  if (!checked.success && isRecord(content) && readAsText(content, set, checked.error.issues)) {
    checked = recipeSchema.safeParse(content);
  }
  if (checked.success) return { recipe: resolvePaths(checked.data, baseDir), baseDir };

  const placeOf = ({ path, part }: RecipeProblem): ErrorPlace => {
    // The last setting that touches the key is where it comes from.
    const from = set.findLast((setting) => setting.path.every((key, depth) => key === path[depth]));
    if (from) return { file: `--set ${from.text}` };
    return text?.placeOf(path, part) ?? { file };
  };
  const problems = recipeProblems(checked.error.issues, content)
    .map((problem) => ({ problem, place: placeOf(problem) }))
    // In the file's order; those from the command line first: they were typed last.
    .sort((a, b) => (a.place.line ?? 0) - (b.place.line ?? 0) || (a.place.column ?? 0) - (b.place.column ?? 0));
  const [{ problem, place }] = problems as [(typeof problems)[0]];
  const more = problems.length > 1 ? ` (and ${problems.length - 1} more: ${others(problems.slice(1))})` : '';
  throw new TuneyardError('recipe_invalid', problem.message + more, {
    place,
    data: {
      key: problem.path.map(String).join('.'),
      ...(problem.nearest !== undefined && { nearest: problem.nearest }),
      problems: problems.map(({ problem, place }) => ({
        ...place,
        key: problem.path.map(String).join('.'),
        message: problem.message,
        ...(problem.nearest !== undefined && { nearest: problem.nearest }),
      })),
    },
  });
}

/** `--set revision=1234567`: what could be a number, and has to be a text, is one. @returns whether there was any */
function readAsText(content: Record<string, unknown>, set: readonly Setting[], issues: readonly core.$ZodIssue[]) {
  const wanted = issues.filter((issue) => issue.code === 'invalid_type' && issue.expected === 'string');
  const found = set.filter(({ path, value }) => {
    const isPlain = typeof value === 'number' || typeof value === 'boolean';
    return isPlain && wanted.some((issue) => issue.path.join('.') === path.join('.'));
  });
  for (const setting of found) applySetting(content, { ...setting, value: setting.raw });
  return found.length > 0;
}

function others(problems: readonly { problem: RecipeProblem; place: ErrorPlace }[]): string {
  const named = problems.slice(0, 4).map(({ problem, place }) => {
    const where = place.line === undefined ? '' : ` in line ${place.line}`;
    return `"${problem.path.map(String).join('.')}"${where}`;
  });
  return named.join(', ') + (problems.length > 4 ? ', …' : '');
}

async function readText(file: string): Promise<string> {
  const place = { file };
  let bytes: Buffer;
  try {
    bytes = await readFile(file);
  } catch (cause) {
    const what =
      systemErrorCode(cause) === 'ENOENT'
        ? 'there is no such recipe; check the path.'
        : systemErrorCode(cause) === 'EISDIR'
          ? 'this is a folder; give the recipe’s file (*.tune.json).'
          : 'the recipe cannot be read; check its permissions.';
    throw new TuneyardError('file_not_found', what, { place, cause });
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new TuneyardError('encoding_invalid', 'the recipe is not UTF-8; save it as UTF-8.', { place, cause });
  }
}
