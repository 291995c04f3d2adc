/** "Start Fine-tune": from a recipe, or from data for which a recipe is then proposed, to a run with its chart open. */
import { dirname } from 'node:path';
import { TuneyardError } from '@protocol/errors';
import type { Estimate } from '@protocol/runner';
import * as l10n from '@vscode/l10n';
import * as vscode from 'vscode';
import { pickData } from '../datasets/pickData';
import type { RunRef } from '../runs/runs';
import { type DataToTune, dataToTune } from './dataToTune';
import { missingFiles } from './findings';
import { withHelp } from './helpFor';
import { propose, writeProposal } from './newRecipe';
import { isRecipe } from './pickFile';
import { defaultHost, pickHost } from './pickHost';
import { pickMethod } from './pickMethod';
import { pickModel } from './pickModel';
import { BACK } from './pickStep';
import { hostOfData } from './recipePaths';
import type { RecipeServices } from './recipeServices';
import { parseRecipe, recipeName } from './recipeText';
import { withProgress } from './withProgress';

/** @param argument the file that a menu or a CodeLens was called on; else the active one, else one is picked */
export async function startFineTune(services: RecipeServices, argument?: unknown): Promise<void> {
  const chosen = await pickData(services, argument, { title: l10n.t('Start Fine-tune'), recipes: true });
  if (chosen === undefined) return;
  if (typeof chosen !== 'string' && isRecipe(chosen)) await startRecipe(services, chosen);
  else await startData(services, await dataToTune(services, chosen));
}

/** Model → Method → Where, each with a default: Enter three times starts. */
async function startData(services: RecipeServices, data: DataToTune): Promise<void> {
  const title = l10n.t('Start Fine-tune');
  const totalSteps = 3;
  for (;;) {
    const model = await pickModel(services, { title, step: 1, totalSteps });
    if (model === undefined || model === BACK) return;
    const method = await pickMethod({ title, step: 2, totalSteps, canGoBack: true });
    if (method === undefined) return;
    if (method === BACK) continue;
    const asked = new AbortController();
    const proposal = propose(services, data, model, method, asked.signal);
    const { estimate } = proposal;
    const step = { title, step: 3, totalSteps, canGoBack: true };
    // Data that lies on a host is trained on there.
    const host = data.host ?? (await pickHost(services, { ...step, estimate, canProvision: true }));
    if (host === undefined || host === BACK) asked.abort();
    if (host === undefined) return;
    if (host === BACK) continue;
    const recipe = vscode.Uri.file(await writeProposal(services, data, model, proposal));
    await vscode.window.showTextDocument(recipe, { preview: false });
    return startRecipe(services, recipe, host);
  }
}

/** @param host where; asked for where it is not given and the settings name none */
async function startRecipe(services: RecipeServices, uri: vscode.Uri, host?: string): Promise<void> {
  await withHelp(services, uri, async (document) => {
    if (document.isDirty && !(await document.save())) {
      throw new TuneyardError('not_writable', l10n.t('{0} could not be saved, so nothing was started.', uri.fsPath));
    }
    const text = document.getText();
    const recipe = await checkedRecipe(text, uri.fsPath);
    const chosen = host ?? hostOfData(recipe) ?? (await whichHost(services, uri.fsPath));
    if (chosen === undefined) return;
    await services.recent.useHost(chosen, uri.fsPath);
    const run = await startOn(services, chosen, { uri, text, recipe });
    await vscode.commands.executeCommand('tuneyard.showLoss', run);
  });
}

/** Form and files, before anything connects. @throws TuneyardError `recipe_invalid`, `file_not_found` */
async function checkedRecipe(text: string, path: string): Promise<Record<string, unknown>> {
  const { value, isSound } = parseRecipe(text);
  if (!isSound || !value) {
    throw new TuneyardError('recipe_invalid', l10n.t('The recipe is no proper JSON; see the Problems view.'), {
      place: { file: path },
    });
  }
  const [missing] = await missingFiles(value, dirname(path));
  if (missing) {
    throw new TuneyardError(missing.code, missing.message, { data: { key: missing.key.join('.') } });
  }
  return value;
}

async function whichHost(services: RecipeServices, recipe: string): Promise<string | undefined> {
  const fixed = defaultHost(services);
  if (fixed !== undefined) return fixed;
  const estimate = services.local
    .run<Estimate>(['estimate', recipe], { offline: true, timeoutMs: 60_000 })
    .catch(() => undefined);
  const title = l10n.t('Start Fine-tune');
  const host = await pickHost(services, { title, step: 1, totalSteps: 1, recipe, estimate, canProvision: true });
  return host === BACK ? undefined : host;
}

async function startOn(
  { runners, hosts, local }: RecipeServices,
  host: string,
  { uri, text, recipe }: { uri: vscode.Uri; text: string; recipe: Record<string, unknown> },
): Promise<RunRef> {
  const path = uri.fsPath;
  const name = recipeName(path);
  const label = hosts.get(host)?.label ?? host;
  return withProgress(l10n.t('{0} on {1}', name, label), async (report, signal) => {
    report(l10n.t('Checking the recipe'));
    // What the runner would refuse there, it refuses here, sooner and with its place; data on a host it cannot see.
    if (hostOfData(recipe) === undefined)
      await local
        .run<Estimate>(['estimate', path], { offline: true, timeoutMs: 30_000, signal })
        .catch((error: unknown) => {
          if (!(error instanceof TuneyardError) || !isUnknownHere(error)) throw error;
        });
    const runner = await runners.open(host, { signal, onProgress: report });
    const { localizeRecipe } = await import('../runner/sync');
    const { recipe: there, sent } = await localizeRecipe(runner, recipe, dirname(path), { signal, onProgress: report });
    report(l10n.t('Starting'));
    const source = { recipe_path: uri.toString(), recipe_text: text, sent };
    const run = await runner.peer.request('runs/start', { recipe: there, name, source }, signal);
    return { host, run: run.id };
  });
}

/** A model that is not here yet, or a look that takes too long: the host will know. */
function isUnknownHere({ code }: TuneyardError): boolean {
  return code === 'hub_failed' || code === 'timed_out' || code === 'internal' || code === 'device_unavailable';
}
