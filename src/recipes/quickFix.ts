/** Quick fixes: the schema says that a key is unknown, this offers the ones that may have been meant. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as l10n from '@vscode/l10n';
import * as vscode from 'vscode';
import type { SchemaNode } from './nearestKey';
import { unknownKeyAt } from './unknownKey';

export class RecipeQuickFix implements vscode.CodeActionProvider {
  private schema: Promise<SchemaNode> | undefined;

  constructor(private readonly extensionPath: string) {}

  async provideCodeActions(
    document: vscode.TextDocument,
    _range: vscode.Range,
    { diagnostics }: vscode.CodeActionContext,
    token: vscode.CancellationToken,
  ): Promise<vscode.CodeAction[]> {
    if (diagnostics.length === 0) return [];
    this.schema ??= readFile(join(this.extensionPath, 'media', 'recipe.schema.json'), 'utf8').then(JSON.parse);
    const schema = await this.schema;
    if (token.isCancellationRequested) return [];
    return diagnostics.flatMap((diagnostic) => {
      const unknown = unknownKeyAt(document.getText(), document.offsetAt(diagnostic.range.start), schema);
      return (unknown?.nearest ?? []).map((key, i) => {
        const { offset, length } = unknown!.span;
        const range = new vscode.Range(document.positionAt(offset), document.positionAt(offset + length));
        const action = new vscode.CodeAction(l10n.t('Change to "{0}"', key), vscode.CodeActionKind.QuickFix);
        action.edit = new vscode.WorkspaceEdit();
        action.edit.replace(document.uri, range, key);
        action.diagnostics = [diagnostic];
        action.isPreferred = i === 0;
        return action;
      });
    });
  }
}
