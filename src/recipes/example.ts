/** The example that comes with the extension: 400 heroes of fantasy, and a small model that has only read Moby-Dick. */
import { copyFile, mkdir, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { brotliDecompress } from 'node:zlib';
import * as l10n from '@vscode/l10n';
import * as vscode from 'vscode';
import { makeFreshFolder } from './freshPath';
import type { RecipeServices } from './recipeServices';
import { parseRecipe, RECIPE_SUFFIX } from './recipeText';
import { joinPlanes } from './weightPlanes';

const RECIPE = `backstories${RECIPE_SUFFIX}`;
const DATA = 'backstories.jsonl';
const MODEL_FILES = ['config.json', 'tokenizer.json', 'tokenizer_config.json'];
const FOLDER = 'tuneyard-example';

/** Puts the example into the workspace (where there is none: into the extension's storage) and opens its recipe. */
export async function openExample(services: RecipeServices): Promise<void> {
  const { context } = services;
  const parent =
    vscode.workspace.workspaceFolders?.find(({ uri }) => uri.scheme === 'file')?.uri.fsPath ??
    context.globalStorageUri.fsPath;
  const existing = join(parent, FOLDER);
  const folder = (await isWhole(existing))
    ? existing
    : await unpack(context.extensionPath, await makeFreshFolder(parent, FOLDER));
  const document = await vscode.workspace.openTextDocument(join(folder, RECIPE));
  await vscode.window.showTextDocument(document, { preview: false });
  const start = l10n.t('Start Fine-tune');
  const chosen = await vscode.window.showInformationMessage(
    l10n.t('The example lies in {0}. It trains in a minute or two on any machine.', folder),
    start,
  );
  if (chosen === start) await vscode.commands.executeCommand('tuneyard.startFineTune', document.uri);
}

/** The example's model alone, unpacked once into the extension's storage. */
export async function exampleModel({ context }: RecipeServices): Promise<string> {
  const folder = join(context.globalStorageUri.fsPath, 'example-model');
  if (!(await exists(join(folder, 'model.safetensors')))) {
    await mkdir(folder, { recursive: true });
    await unpackModel(join(context.extensionPath, 'dist', 'example'), folder);
  }
  return folder;
}

async function unpack(extensionPath: string, folder: string): Promise<string> {
  const packed = join(extensionPath, 'dist', 'example');
  await mkdir(join(folder, 'model'), { recursive: true });
  await unpackModel(packed, join(folder, 'model'));
  await copyFile(join(packed, DATA), join(folder, DATA));
  // Last: where it is, the rest is.
  await copyFile(join(packed, RECIPE), join(folder, RECIPE));
  return folder;
}

async function unpackModel(packed: string, folder: string): Promise<void> {
  for (const file of MODEL_FILES) await copyFile(join(packed, 'model', file), join(folder, file));
  const weights = joinPlanes(await promisify(brotliDecompress)(await readFile(join(packed, 'model', 'weights.br'))));
  const target = join(folder, 'model.safetensors');
  await writeFile(`${target}.tmp`, weights);
  await rename(`${target}.tmp`, target);
}

async function isWhole(folder: string): Promise<boolean> {
  const text = await readFile(join(folder, RECIPE), 'utf8').catch(() => undefined);
  return text !== undefined && parseRecipe(text).isSound && (await exists(join(folder, DATA)));
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
