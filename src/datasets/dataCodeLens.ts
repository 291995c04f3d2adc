/** "Preview as training samples" above data: that a recipe trains on, or that is hardly anything else. */
import { extname } from 'node:path';
import * as l10n from '@vscode/l10n';
import * as vscode from 'vscode';
import { isData } from '../recipes/pickFile';

/** A `.json` or `.txt` may be anything. */
const SAMPLES = new Set(['.jsonl', '.ndjson', '.csv', '.tsv']);

export class DataCodeLens implements vscode.CodeLensProvider {
  async provideCodeLenses({ uri }: vscode.TextDocument): Promise<vscode.CodeLens[]> {
    if (!isData(uri)) return [];
    if (!SAMPLES.has(extname(uri.path).toLowerCase())) {
      const { recipeFor } = await import('./target');
      if ((await recipeFor(uri.fsPath)) === undefined) return [];
    }
    const title = l10n.t('Preview as training samples');
    const range = new vscode.Range(0, 0, 0, 0);
    return [new vscode.CodeLens(range, { title, command: 'tuneyard.previewData', arguments: [uri] })];
  }
}
