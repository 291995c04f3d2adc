/**
 * Problems of recipes at their place. The schema reports their form; this adds missing files while somebody types, and
 * once the recipe is saved whatever the runner says of it: columns, unusable data and models, too little memory.
 */
import { stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { TuneyardError } from '@protocol/errors';
import type { Estimate } from '@protocol/runner';
import * as vscode from 'vscode';
import { isElsewhere } from '../datasets/dataPath';
import { type Finding, findingOf, memoryFinding, missingFiles } from './findings';
import { isRecipe } from './pickFile';
import { defaultHost, localMemory, memoryOf } from './pickHost';
import { datasetPath } from './recipePaths';
import type { RecipeServices } from './recipeServices';
import { parseRecipe, type RecipeText } from './recipeText';

const TYPING_MS = 400;
/** Larger data is looked at when somebody asks, not at each save. */
const MOST_BYTES = 50e6;
const TIMEOUT_MS = 60_000;

export class RecipeDiagnostics implements vscode.Disposable {
  private readonly collection = vscode.languages.createDiagnosticCollection('tuneyard');
  private readonly checks = new Map<string, AbortController>();
  private readonly subscriptions: vscode.Disposable[];

  constructor(private readonly services: RecipeServices) {
    const { workspace } = vscode;
    this.subscriptions = [
      this.collection,
      workspace.onDidOpenTextDocument((document) => this.check(document, 0)),
      workspace.onDidSaveTextDocument((document) => this.check(document, 0)),
      workspace.onDidChangeTextDocument(({ document }) => this.check(document, TYPING_MS)),
      workspace.onDidCloseTextDocument(({ uri }) => this.forget(uri)),
      // Now its memory is known.
      services.runners.onDidOpen(() => this.checkAll()),
    ];
    this.checkAll();
  }

  dispose(): void {
    for (const check of this.checks.values()) check.abort();
    for (const subscription of this.subscriptions) subscription.dispose();
  }

  private checkAll(): void {
    for (const document of vscode.workspace.textDocuments) this.check(document, 0);
  }

  private forget(uri: vscode.Uri): void {
    this.checks.get(uri.toString())?.abort();
    this.checks.delete(uri.toString());
    this.collection.delete(uri);
  }

  /** A later check of the same recipe takes the place of this one. */
  private check(document: vscode.TextDocument, delay: number): void {
    if (document.uri.scheme !== 'file' || !isRecipe(document.uri) || !vscode.workspace.isTrusted) return;
    const key = document.uri.toString();
    this.checks.get(key)?.abort();
    const controller = new AbortController();
    this.checks.set(key, controller);
    const timer = setTimeout(() => {
      this.run(document, controller.signal).catch((error: unknown) => {
        if (!controller.signal.aborted) this.services.log.warn(`${document.uri.fsPath}: ${String(error)}`);
      });
    }, delay);
    controller.signal.addEventListener('abort', () => clearTimeout(timer), { once: true });
  }

  private async run(document: vscode.TextDocument, signal: AbortSignal): Promise<void> {
    const text = parseRecipe(document.getText());
    const { value } = text;
    if (!value) return this.collection.delete(document.uri);
    const missing = await missingFiles(value, dirname(document.uri.fsPath));
    if (signal.aborted) return;
    this.show(document, text, missing);
    if (missing.length > 0 || document.isDirty || !text.isSound) return;
    const deeper = await this.deeper(document.uri.fsPath, value, signal);
    if (deeper && !signal.aborted && !document.isDirty) this.show(document, text, [deeper]);
  }

  private async deeper(
    path: string,
    recipe: Record<string, unknown>,
    signal: AbortSignal,
  ): Promise<Finding | undefined> {
    const data = datasetPath(recipe, dirname(path));
    // What is elsewhere is looked at when it is asked for.
    if (data === undefined || isElsewhere(data) || (await stat(data)).size > MOST_BYTES) return undefined;
    let estimate: Estimate;
    try {
      const options = { offline: true, timeoutMs: TIMEOUT_MS, signal };
      estimate = await this.services.local.run<Estimate>(['estimate', path], options);
    } catch (error) {
      if (!(error instanceof TuneyardError)) throw error;
      // The form is the schema's to report; a model that is not on this machine may well be elsewhere.
      if (error.code === 'recipe_invalid' || error.code === 'hub_failed') return undefined;
      return findingOf(error, recipe);
    }
    const host = this.services.recent.host(path) ?? defaultHost(this.services) ?? 'local';
    const memory =
      (await memoryOf(this.services, host, signal)) ??
      (host === 'local' ? localMemory(this.services, estimate) : undefined);
    return memory && memoryFinding(estimate, memory, recipe);
  }

  private show(document: vscode.TextDocument, text: RecipeText, findings: readonly Finding[]): void {
    const diagnostics = findings.map(({ key, message, severity, code }) => {
      const { offset, length } = text.spanOf(key);
      const range = new vscode.Range(document.positionAt(offset), document.positionAt(offset + length));
      const kind = severity === 'error' ? vscode.DiagnosticSeverity.Error : vscode.DiagnosticSeverity.Warning;
      const diagnostic = new vscode.Diagnostic(range, message, kind);
      diagnostic.source = 'Tuneyard';
      diagnostic.code = code;
      return diagnostic;
    });
    this.collection.set(document.uri, diagnostics);
  }
}
