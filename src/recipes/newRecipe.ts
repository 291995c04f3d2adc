/** "New Recipe" and what stands before a fine-tune of plain data: questions, then a recipe beside the data. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TuneyardError } from '@protocol/errors';
import type { Estimate } from '@protocol/runner';
import * as l10n from '@vscode/l10n';
import * as vscode from 'vscode';
import { pickData } from '../datasets/pickData';
import { gatherDataFacts } from './dataFacts';
import { type DataToTune, dataToTune } from './dataToTune';
import { writeFreshRecipe } from './freshPath';
import type { LocalRunner } from './localRunner';
import { pickHost } from './pickHost';
import { DEFAULT_METHOD } from './pickMethod';
import { type ChosenModel, modelFacts, pickModel } from './pickModel';
import { BACK } from './pickStep';
import { proposeRecipe } from './proposeRecipe';
import type { RecipeServices } from './recipeServices';
import { RECIPE_SUFFIX } from './recipeText';
import { withProgress } from './withProgress';

/** Asks for data, model and place (at most three questions), and opens the recipe. */
export async function newRecipe(services: RecipeServices, argument?: unknown): Promise<void> {
  const title = l10n.t('New recipe');
  const chosen = await pickData(services, argument, { title, recipes: false });
  if (chosen === undefined) return;
  const data = await dataToTune(services, chosen);
  for (;;) {
    const model = await pickModel(services, { title, step: 2, totalSteps: 3 });
    if (model === undefined || model === BACK) return;
    const asked = new AbortController();
    const proposal = propose(services, data, model, DEFAULT_METHOD, asked.signal);
    const { estimate } = proposal;
    const host = await pickHost(services, { title, step: 3, totalSteps: 3, canGoBack: true, estimate });
    if (host === undefined || host === BACK) asked.abort();
    if (host === undefined) return;
    if (host === BACK) continue;
    const recipe = await writeProposal(services, data, model, proposal);
    await services.recent.useHost(host, recipe);
    await vscode.window.showTextDocument(vscode.Uri.file(recipe), { preview: false });
    return;
  }
}

/**
 * A recipe that is being made while questions are still asked.
 * `estimate`: what it will need, where model and data are here; it never fails.
 */
export interface Proposal {
  text: Promise<string>;
  estimate: Promise<Estimate | undefined>;
}

/** Looks at the data in the background. `text` fails with what is wrong with the data. */
export function propose(
  { local }: RecipeServices,
  data: DataToTune,
  model: ChosenModel,
  method: string,
  signal: AbortSignal,
): Proposal {
  const { dir } = data;
  const facts = gatherDataFacts(data, model.where, signal);
  const text = facts.then((known) =>
    proposeRecipe({ dataset: data.written, data: known, model: modelFacts(model, dir), method }),
  );
  const estimate = facts.then(async (known) => {
    const absolute = proposeRecipe({
      dataset: data.absolute,
      data: known,
      model: { ...modelFacts(model, dir), name: model.where },
      method,
    });
    return estimateOfText(local, absolute, signal);
  });
  // Whoever awaits it hears of it.
  text.catch(() => {});
  return { text, estimate: estimate.catch(() => undefined) };
}

/**
 * Writes a proposal beside its data, overwriting nothing.
 * @returns the recipe's path
 * @throws TuneyardError what is wrong with the data; `not_writable`; `cancelled`
 */
export async function writeProposal(
  { recent }: RecipeServices,
  data: DataToTune,
  model: ChosenModel,
  { text }: Proposal,
): Promise<string> {
  const path = await withProgress(l10n.t('Looking at the data'), async (_, signal) =>
    writeFreshRecipe(join(data.dir, data.name), await orAborted(text, signal)),
  );
  await recent.useModel(model.where);
  return path;
}

async function estimateOfText(local: LocalRunner, text: string, signal: AbortSignal): Promise<Estimate> {
  const folder = await mkdtemp(join(tmpdir(), 'tuneyard-'));
  try {
    const file = join(folder, `proposal${RECIPE_SUFFIX}`);
    await writeFile(file, text);
    return await local.run<Estimate>(['estimate', file], { offline: true, timeoutMs: 60_000, signal });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((settle, reject) => {
    signal.addEventListener('abort', () => reject(new TuneyardError('cancelled', 'cancelled.')), { once: true });
    promise.then(settle, reject);
  });
}
