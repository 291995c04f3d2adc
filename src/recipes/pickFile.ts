/** Which file a command means: the one it was called on, the one in the active editor, or the one a person picks. */
import { basename, extname } from 'node:path';
import * as l10n from '@vscode/l10n';
import * as vscode from 'vscode';
import { RECIPE_SUFFIX } from './recipeText';

const DATA_EXTENSIONS = ['jsonl', 'ndjson', 'json', 'csv', 'tsv', 'txt', 'parquet'] as const;

const MOST_FILES = 200;
const EXCLUDED = '**/{node_modules,.git,.tuneyard,dist,out,.venv}/**';
/** JSON files that are about a project and hold no samples. */
const NO_DATA =
  /^(package(-lock)?|tsconfig.*|jsconfig.*|composer|manifest|.*config|tokenizer.*|vocab|special_tokens_map|added_tokens|.*\.schema|.*\.index|readme|license|requirements|cmakelists)\.(json|txt)$/i;

export const isRecipe = ({ path }: vscode.Uri): boolean => path.endsWith(RECIPE_SUFFIX);

export const isData = ({ path }: vscode.Uri): boolean => isDataName(path);

export function isDataName(path: string): boolean {
  return (
    !path.endsWith(RECIPE_SUFFIX) &&
    (DATA_EXTENSIONS as readonly string[]).includes(extname(path).slice(1).toLowerCase())
  );
}

/** The file that a menu, a CodeLens or a link passed. */
export function passedUri(argument: unknown): vscode.Uri | undefined {
  return argument instanceof vscode.Uri && argument.scheme === 'file' ? argument : undefined;
}

/** The active editor's file, also where it is no text (Parquet). */
export function activeUri(): vscode.Uri | undefined {
  const input = vscode.window.tabGroups.activeTabGroup.activeTab?.input;
  const shown = input instanceof vscode.TabInputText || input instanceof vscode.TabInputCustom ? input.uri : undefined;
  const uri = shown ?? vscode.window.activeTextEditor?.document.uri;
  return uri?.scheme === 'file' ? uri : undefined;
}

interface FileItem extends vscode.QuickPickItem {
  uri?: vscode.Uri | 'hub' | 'host';
}

interface Ask {
  title: string;
  recipes: boolean;
  data: boolean;
}

/** Lets a person pick a recipe or a data file of the workspace, or any other; with `elsewhere`, data that is no file here. */
export async function pickFile(ask: Ask & { elsewhere: true }): Promise<vscode.Uri | 'hub' | 'host' | undefined>;
export async function pickFile(ask: Ask): Promise<vscode.Uri | undefined>;
export async function pickFile(ask: Ask & { elsewhere?: true }): Promise<vscode.Uri | 'hub' | 'host' | undefined> {
  const find = async (pattern: string) => vscode.workspace.findFiles(pattern, EXCLUDED, MOST_FILES);
  const [recipes, data] = await Promise.all([
    ask.recipes ? find(`**/*${RECIPE_SUFFIX}`) : [],
    ask.data ? find(`**/*.{${DATA_EXTENSIONS.join(',')}}`) : [],
  ]);
  const items: FileItem[] = [
    ...section(l10n.t('Recipes'), recipes),
    ...section(
      l10n.t('Data'),
      data.filter((uri) => isData(uri) && !NO_DATA.test(basename(uri.path))),
    ),
  ];
  const other: FileItem = { label: `$(folder-opened) ${l10n.t('Choose a file…')}` };
  const elsewhere: FileItem[] = ask.elsewhere
    ? [
        { label: `$(cloud) ${l10n.t('A dataset on the hub…')}`, uri: 'hub' },
        { label: `$(remote) ${l10n.t('A file on a host…')}`, uri: 'host' },
      ]
    : [];
  if (items.length > 0 || elsewhere.length > 0) {
    const chosen = await vscode.window.showQuickPick(
      [...items, { label: '', kind: vscode.QuickPickItemKind.Separator }, other, ...elsewhere],
      {
        title: ask.title,
        placeHolder: l10n.t('A file of this workspace, or any other'),
        matchOnDescription: true,
      },
    );
    if (chosen === undefined || chosen.uri) return chosen?.uri;
  }
  const [uri] =
    (await vscode.window.showOpenDialog({
      title: ask.title,
      filters: {
        ...(ask.data ? { [l10n.t('Data')]: [...DATA_EXTENSIONS] } : {}),
        ...(ask.recipes ? { [l10n.t('Recipes')]: ['json'] } : {}),
      },
    })) ?? [];
  return uri;
}

function section(label: string, uris: readonly vscode.Uri[]): FileItem[] {
  if (uris.length === 0) return [];
  const files = uris
    .map((uri): FileItem => {
      const path = vscode.workspace.asRelativePath(uri);
      const name = basename(path);
      return { label: name, ...(path === name ? {} : { description: path.slice(0, -name.length - 1) }), uri };
    })
    .sort((a, b) => a.label.localeCompare(b.label));
  return [{ label, kind: vscode.QuickPickItemKind.Separator }, ...files];
}
