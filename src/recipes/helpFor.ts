/** The button under an error about a recipe: to the key, or to the line of the data, that is to blame. */
import { type ErrorPlace, TuneyardError } from '@protocol/errors';
import * as l10n from '@vscode/l10n';
import * as vscode from 'vscode';
import { type ErrorAction, showError } from '../commands';
import type { Services } from '../services';
import { findingOf } from './findings';
import { parseRecipe } from './recipeText';
import { showKey, showLine } from './showPlace';

/**
 * Does something with a recipe. What goes wrong is shown, with the button that helps.
 * @returns undefined where something went wrong
 */
export async function withHelp<T>(
  { log }: Pick<Services, 'log'>,
  recipe: vscode.Uri,
  task: (document: vscode.TextDocument) => Promise<T>,
): Promise<T | undefined> {
  const document = await vscode.workspace.openTextDocument(recipe);
  try {
    return await task(document);
  } catch (error) {
    await showError(error, log, helpFor(error, recipe, document.getText()));
    return undefined;
  }
}

/** @param text the recipe, as it was when the error came up */
function helpFor(error: unknown, uri: vscode.Uri, text: string): ErrorAction | undefined {
  if (!(error instanceof TuneyardError)) return undefined;
  const { value } = parseRecipe(text);
  const { place } = error;
  if (isDataLine(place, uri.fsPath)) {
    return { title: l10n.t('Show line {0}', place.line), run: () => showLine(vscode.Uri.file(place.file), place.line) };
  }
  const key = typeof error.data.key === 'string' ? error.data.key.split('.') : value && findingOf(error, value)?.key;
  if (key) return { title: l10n.t('Show in the recipe'), run: () => showKey(uri, key) };
  if (error.code === 'recipe_invalid') {
    return {
      title: l10n.t('Show problems'),
      run: () => vscode.commands.executeCommand('workbench.actions.view.problems'),
    };
  }
  return undefined;
}

function isDataLine(place: ErrorPlace | undefined, recipe: string): place is ErrorPlace & { line: number } {
  return place?.line !== undefined && place.file !== recipe && place.file.startsWith('/');
}
