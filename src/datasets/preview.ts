/** "Preview data": a dataset as training would see it, on a read-only page whose line numbers lead into the file. */
import { readdir, readFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { TuneyardError } from '@protocol/errors';
import type { DatasetPreview } from '@protocol/preview';
import * as l10n from '@vscode/l10n';
import * as vscode from 'vscode';
import { lookAtData, type SeenData } from '../recipes/dataFacts';
import { withHelp } from '../recipes/helpFor';
import type { LocalRunner } from '../recipes/localRunner';
import { activeUri, isData, isRecipe, passedUri, pickFile } from '../recipes/pickFile';
import { datasetPath } from '../recipes/recipePaths';
import type { RecipeServices } from '../recipes/recipeServices';
import { isRecord, parseRecipe, RECIPE_SUFFIX } from '../recipes/recipeText';
import { withProgress } from '../recipes/withProgress';
import { type PageSpan, type PreviewPage, previewPage } from './previewText';

interface ShownPage {
  page: PreviewPage;
  data: vscode.Uri;
}

export class DatasetPreviews implements vscode.DocumentLinkProvider, vscode.Disposable {
  private readonly shown = new Map<string, ShownPage>();
  private readonly styles = {
    headings: vscode.window.createTextEditorDecorationType({ fontWeight: 'bold' }),
    learned: vscode.window.createTextEditorDecorationType({ color: new vscode.ThemeColor('charts.green') }),
    given: vscode.window.createTextEditorDecorationType({ color: new vscode.ThemeColor('descriptionForeground') }),
    problems: vscode.window.createTextEditorDecorationType({ color: new vscode.ThemeColor('list.warningForeground') }),
  };
  private readonly subscriptions: vscode.Disposable[];

  constructor(private readonly services: RecipeServices) {
    this.subscriptions = [
      ...Object.values(this.styles),
      vscode.languages.registerDocumentLinkProvider({ pattern: '**', scheme: 'tuneyard-page' }, this),
      vscode.window.onDidChangeVisibleTextEditors((editors) => {
        for (const editor of editors) this.decorate(editor);
      }),
      vscode.workspace.onDidCloseTextDocument(({ uri }) => {
        this.shown.delete(uri.toString());
      }),
    ];
  }

  /** @param argument a data file, or a recipe */
  async preview(argument?: unknown): Promise<void> {
    const title = l10n.t('Preview data');
    const active = passedUri(argument) ?? activeUri();
    const uri =
      active && (isRecipe(active) || isData(active)) ? active : await pickFile({ title, recipes: true, data: true });
    if (!uri) return;
    const seen = isRecipe(uri) ? await this.throughRecipe(title, uri) : await this.asItIs(title, uri.fsPath);
    if (!seen) return;
    const { preview, unit } = seen;
    const page = previewPage(preview, unit);
    const name = l10n.t('Preview of {0}', basename(preview.path));
    const editor = await this.services.pages.show(name, preview.path, page.text);
    this.shown.set(editor.document.uri.toString(), { page, data: vscode.Uri.file(preview.path) });
    this.decorate(editor);
  }

  private throughRecipe(title: string, uri: vscode.Uri): Promise<SeenData | undefined> {
    return withHelp(this.services, uri, async (document) => {
      await document.save();
      return withProgress(title, (_, signal) => lookThroughRecipe(this.services.local, uri.fsPath, signal));
    });
  }

  /** As a recipe beside it would, where there is one that is sound. */
  private asItIs(title: string, data: string): Promise<SeenData> {
    const { local } = this.services;
    return withProgress(title, async (_, signal) => {
      const recipe = await recipeOf(data);
      const plain = () => lookAtData(local, data, { signal });
      if (recipe === undefined) return plain();
      return lookThroughRecipe(local, recipe, signal).catch((error: unknown) => {
        if (signal.aborted) throw error;
        return plain();
      });
    });
  }

  provideDocumentLinks(document: vscode.TextDocument): vscode.DocumentLink[] {
    const shown = this.shown.get(document.uri.toString());
    return (shown?.page.links ?? []).map((link) => {
      const target = shown!.data.with({ fragment: `L${link.line}` });
      return new vscode.DocumentLink(rangeOf(document, link), target);
    });
  }

  dispose(): void {
    for (const subscription of this.subscriptions) subscription.dispose();
  }

  private decorate(editor: vscode.TextEditor): void {
    const shown = this.shown.get(editor.document.uri.toString());
    if (!shown) return;
    for (const name of ['headings', 'learned', 'given', 'problems'] as const) {
      const ranges = shown.page[name].map((span) => rangeOf(editor.document, span));
      editor.setDecorations(this.styles[name], ranges);
    }
  }
}

/** A recipe beside the data that trains on it. */
async function recipeOf(data: string): Promise<string | undefined> {
  const dir = dirname(data);
  const files = await readdir(dir).catch(() => []);
  for (const file of files.filter((name) => name.endsWith(RECIPE_SUFFIX)).sort()) {
    const { value } = parseRecipe(await readFile(join(dir, file), 'utf8').catch(() => ''));
    if (value && datasetPath(value, dir) === data) return join(dir, file);
  }
  return undefined;
}

/** With the recipe's model where it is on this machine; else words are counted, and what the recipe says of the data holds. */
async function lookThroughRecipe(local: LocalRunner, recipe: string, signal: AbortSignal): Promise<SeenData> {
  const { value } = parseRecipe(await readFile(recipe, 'utf8'));
  const data = value && datasetPath(value, dirname(recipe));
  if (!value || data === undefined) {
    throw new TuneyardError('recipe_invalid', l10n.t('The recipe names no dataset.'), { place: { file: recipe } });
  }
  try {
    const argv = ['preview', data, '--recipe', recipe];
    const preview = await local.run<DatasetPreview>(argv, { offline: true, signal });
    return { preview, unit: 'tokens' };
  } catch (error) {
    if (!(error instanceof TuneyardError) || error.code !== 'hub_failed') throw error;
    const dataset = isRecord(value.dataset) ? Object.entries(value.dataset).filter(([key]) => key !== 'path') : [];
    const settings = dataset.map(([key, setting]) => `dataset.${key}=${JSON.stringify(setting)}`);
    return lookAtData(local, data, { settings, signal });
  }
}

function rangeOf(document: vscode.TextDocument, { start, end }: PageSpan): vscode.Range {
  return new vscode.Range(document.positionAt(start), document.positionAt(end));
}
