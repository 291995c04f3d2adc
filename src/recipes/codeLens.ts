/** "▶ Start Fine-tune · Preview data · Estimate memory" above a recipe. */
import * as l10n from '@vscode/l10n';
import * as vscode from 'vscode';

export class RecipeCodeLens implements vscode.CodeLensProvider {
  provideCodeLenses({ uri }: vscode.TextDocument): vscode.CodeLens[] {
    const range = new vscode.Range(0, 0, 0, 0);
    const lens = (title: string, command: string) => new vscode.CodeLens(range, { title, command, arguments: [uri] });
    return [
      lens(`▶ ${l10n.t('Start Fine-tune')}`, 'tuneyard.startFineTune'),
      lens(l10n.t('Preview data'), 'tuneyard.previewData'),
      lens(l10n.t('Estimate memory'), 'tuneyard.estimateMemory'),
    ];
  }
}
