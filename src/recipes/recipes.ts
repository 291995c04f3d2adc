/** Recipes in the editor: commands, and what is registered for `*.tune.json`. What is heavy is loaded when it is used. */
import * as vscode from 'vscode';
import type { Commands } from '../commands';
import { DataCodeLens } from '../datasets/dataCodeLens';
import type { Services } from '../services';
import { RecipeCodeLens } from './codeLens';
import { recipeServices } from './recipeServices';

const LANGUAGE = 'tune-recipe';
const DATA_FILES = '**/*.{jsonl,ndjson,json,csv,tsv,txt}';

export function recipeCommands(services: Services): Commands {
  const shared = recipeServices(services);
  return {
    'tuneyard.startFineTune': async (argument?: unknown) => (await import('./start')).startFineTune(shared, argument),
    'tuneyard.newRecipe': async (argument?: unknown) => (await import('./newRecipe')).newRecipe(shared, argument),
    'tuneyard.openExample': async () => (await import('./example')).openExample(shared),
    'tuneyard.estimateMemory': async (argument?: unknown) =>
      (await import('./estimateMemory')).estimateMemory(shared, argument),
  };
}

/** CodeLens, problems and quick fixes of recipes. */
export function registerRecipes(services: Services): vscode.Disposable {
  const selector: vscode.DocumentSelector = { language: LANGUAGE, scheme: 'file' };
  const { languages } = vscode;
  let diagnostics: vscode.Disposable | undefined;
  let isDisposed = false;
  // Only once there is a recipe, which activation does not wait for.
  const begin = async () => {
    opened.dispose();
    const { RecipeDiagnostics } = await import('./diagnostics');
    if (!isDisposed) diagnostics ??= new RecipeDiagnostics(recipeServices(services));
  };
  const isOpen = ({ languageId }: vscode.TextDocument) => languageId === LANGUAGE;
  const opened = vscode.workspace.onDidOpenTextDocument((document) => {
    if (isOpen(document)) void begin();
  });
  if (vscode.workspace.textDocuments.some(isOpen)) void begin();
  const quickFix: vscode.CodeActionProvider = {
    async provideCodeActions(...args) {
      const { RecipeQuickFix } = await import('./quickFix');
      fixes ??= new RecipeQuickFix(services.context.extensionPath);
      return fixes.provideCodeActions(...args);
    },
  };
  let fixes: InstanceType<typeof import('./quickFix').RecipeQuickFix> | undefined;
  return vscode.Disposable.from(
    opened,
    new vscode.Disposable(() => {
      isDisposed = true;
      diagnostics?.dispose();
    }),
    languages.registerCodeLensProvider(selector, new RecipeCodeLens()),
    languages.registerCodeLensProvider({ scheme: 'file', pattern: DATA_FILES }, new DataCodeLens()),
    languages.registerCodeActionsProvider(selector, quickFix, {
      providedCodeActionKinds: [vscode.CodeActionKind.QuickFix],
    }),
  );
}
