/** The question which model to train. */
import { homedir } from 'node:os';
import { basename, dirname, isAbsolute } from 'node:path';
import * as l10n from '@vscode/l10n';
import * as vscode from 'vscode';
import { formatCount } from '../ui/format';
import { exampleModel } from './example';
import { findOnHub, type HubModel, searchHub } from './hubSearch';
import { readModelFolder } from './modelFolder';
import { pickOnHub } from './pickOnHub';
import { BACK, type Choice, heading, pickStep } from './pickStep';
import type { ModelFacts } from './proposeRecipe';
import { pathFrom } from './recipePaths';
import { hubEndpoint, type RecipeServices } from './recipeServices';

/** A model that was chosen. `where`: a folder, or a name on the hub. */
export interface ChosenModel {
  where: string;
  isFolder: boolean;
  maxPositions?: number;
  parameters?: number;
}

type Answer = ChosenModel | 'folder' | 'search' | 'example';

/** Small models of known architectures with safetensors weights, for whoever has none in mind. */
const WELL_KNOWN: readonly HubModel[] = [
  { name: 'distilbert/distilgpt2', parameters: 82e6, downloads: 0, gated: false },
  { name: 'openai-community/gpt2', parameters: 124e6, downloads: 0, gated: false },
  { name: 'EleutherAI/gpt-neo-125m', parameters: 125e6, downloads: 0, gated: false },
];

/** @returns undefined where the person went away */
export async function pickModel(
  services: RecipeServices,
  step: { title: string; step: number; totalSteps: number; canGoBack?: boolean },
): Promise<ChosenModel | typeof BACK | undefined> {
  for (;;) {
    const answer = await pickStep<Answer>({
      ...step,
      placeholder: l10n.t('Which model is to learn?'),
      items: await modelItems(services),
    });
    if (answer === undefined || answer === BACK) return answer;
    if (typeof answer === 'object') return answer;
    if (answer === 'example') return asFolder(await exampleModel(services));
    const chosen = answer === 'folder' ? await pickFolder(step.title) : await pickFromHub(step.title);
    // Whoever goes away from these comes back to the list.
    if (chosen) return chosen;
  }
}

/** How a recipe in a folder names the model, and what is known of it. */
export function modelFacts({ where, isFolder, maxPositions, parameters }: ChosenModel, dir: string): ModelFacts {
  return {
    name: isFolder ? pathFrom(dir, where) : where,
    ...(maxPositions === undefined ? {} : { maxPositions }),
    ...(parameters === undefined ? {} : { parameters }),
  };
}

async function modelItems({ recent }: RecipeServices): Promise<Choice<Answer>[]> {
  const recents = (await Promise.all(recent.models.map(recentModel))).filter((item) => item !== undefined);
  const seen = new Set(recents.map(({ where }) => where));
  const nearby = (await workspaceModels()).filter(({ where }) => !seen.has(where));
  const known = WELL_KNOWN.filter(({ name }) => !seen.has(name)).map((model) => asHub(model));
  return [
    ...group(l10n.t('Used last'), recents),
    ...group(l10n.t('In this workspace'), nearby),
    heading(l10n.t('To begin with')),
    {
      label: `$(mortar-board) ${l10n.t('The example’s model')}`,
      description: l10n.t('{0} weights', '2.61 M'),
      detail: l10n.t('A GPT-Neo that has only read Moby-Dick: trains on any machine in minutes'),
      value: 'example',
    },
    ...known.map((model) => itemOf(model)),
    heading(l10n.t('Others')),
    { label: `$(folder-opened) ${l10n.t('A folder…')}`, detail: l10n.t('In Hugging Face’s format'), value: 'folder' },
    { label: `$(search) ${l10n.t('Search the hub…')}`, detail: hubEndpoint(), value: 'search' },
  ];
}

function group(label: string, models: readonly ChosenModel[]): Choice<Answer>[] {
  return models.length === 0 ? [] : [heading(label), ...models.map((model) => itemOf(model))];
}

function itemOf(model: ChosenModel, hub?: HubModel): Choice<Answer> {
  const { where, isFolder, parameters } = model;
  const weights = parameters === undefined ? '' : l10n.t('{0} weights', formatCount(parameters));
  const more = hub?.gated ? l10n.t('asks for consent and a token') : '';
  return {
    label: `$(${isFolder ? 'folder' : 'cloud'}) ${isFolder ? basename(where) : where}`,
    description: [weights, more].filter(Boolean).join(' · '),
    ...(isFolder ? { detail: tilde(where) } : {}),
    value: model,
  };
}

async function recentModel(where: string): Promise<ChosenModel | undefined> {
  if (!isAbsolute(where)) return { where, isFolder: false };
  return asFolder(where);
}

async function asFolder(path: string): Promise<ChosenModel | undefined> {
  const model = await readModelFolder(path);
  if (!model?.isSupported) return undefined;
  const { maxPositions, parameters } = model;
  return {
    where: path,
    isFolder: true,
    ...(maxPositions === undefined ? {} : { maxPositions }),
    ...(parameters === undefined ? {} : { parameters }),
  };
}

function asHub({ name, parameters }: HubModel): ChosenModel {
  return { where: name, isFolder: false, ...(parameters === undefined ? {} : { parameters }) };
}

async function workspaceModels(): Promise<ChosenModel[]> {
  const configs = await vscode.workspace.findFiles(
    '**/config.json',
    '**/{node_modules,.git,.tuneyard,checkpoints}/**',
    50,
  );
  const models = await Promise.all(configs.map(({ fsPath }) => asFolder(dirname(fsPath))));
  return models.filter((model) => model !== undefined);
}

async function pickFolder(title: string): Promise<ChosenModel | undefined> {
  const [uri] = (await vscode.window.showOpenDialog({ title, canSelectFolders: true, canSelectFiles: false })) ?? [];
  if (!uri) return undefined;
  const model = await readModelFolder(uri.fsPath);
  if (model?.isSupported) return asFolder(uri.fsPath);
  const why = model
    ? l10n.t('Models of type "{0}" cannot be trained yet.', model.type)
    : l10n.t('There is no model with safetensors weights in {0}.', uri.fsPath);
  vscode.window.showWarningMessage(why);
  return undefined;
}

async function pickFromHub(title: string): Promise<ChosenModel | undefined> {
  const endpoint = hubEndpoint();
  const answer = await pickOnHub<ChosenModel>({
    title,
    placeholder: l10n.t('Search {0} for a model: a name or a part of one', endpoint),
    nothing: l10n.t('Nothing of that name that can be trained here'),
    known: WELL_KNOWN.map((model) => ({ ...itemOf(asHub(model)), value: asHub(model) })),
    search: async (text, signal) =>
      (await searchHub(endpoint, text, signal)).map((model) => ({
        ...itemOf(asHub(model), model),
        value: asHub(model),
      })),
  });
  if (answer === undefined || answer.parameters !== undefined) return answer;
  const found = await findOnHub(endpoint, answer.where);
  return found ? asHub(found) : answer;
}

function tilde(path: string): string {
  return path.startsWith(homedir()) ? `~${path.slice(homedir().length)}` : path;
}
