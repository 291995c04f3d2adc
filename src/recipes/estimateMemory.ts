/** "Estimate memory": what a recipe will need, and where it fits. */
import { TuneyardError } from '@protocol/errors';
import type { Estimate } from '@protocol/runner';
import * as l10n from '@vscode/l10n';
import * as vscode from 'vscode';
import { estimateText, verdict } from './estimateText';
import { withHelp } from './helpFor';
import type { HostMemory } from './hostMemory';
import { activeUri, isRecipe, passedUri, pickFile } from './pickFile';
import { localMemory, memoryOf } from './pickHost';
import { hostOfData } from './recipePaths';
import type { RecipeServices } from './recipeServices';
import { parseRecipe, recipeName } from './recipeText';
import { withProgress } from './withProgress';

export async function estimateMemory(services: RecipeServices, argument?: unknown): Promise<void> {
  const title = l10n.t('Estimate memory');
  const active = passedUri(argument) ?? activeUri();
  const uri = active && isRecipe(active) ? active : await pickFile({ title, recipes: true, data: false });
  if (!uri) return;
  const estimate = await withHelp(services, uri, async (document) => {
    await document.save();
    const host = hostOfData(parseRecipe(document.getText()).value ?? {});
    if (host !== undefined) {
      const what = l10n.t(
        'The data lies on {0}: what a run needs is told when it starts there.',
        host.replace('ssh:', ''),
      );
      throw new TuneyardError('file_not_found', what);
    }
    return withProgress(title, (_, signal) => services.local.run<Estimate>(['estimate', uri.fsPath], { signal }));
  });
  if (!estimate) return;
  const places = await placesOf(services, estimate);
  const name = recipeName(uri.fsPath);
  await services.pages.show(l10n.t('Memory of {0}', name), uri.toString(), estimateText(name, estimate, places));
  const used = services.recent.host(uri.fsPath);
  const place = places.find(({ label }) => label === services.hosts.get(used ?? 'local')?.label);
  if (place) vscode.window.showInformationMessage(verdict(estimate, place));
}

/** Every host whose memory is known: this machine, and those that are connected. */
async function placesOf(services: RecipeServices, estimate: Estimate): Promise<HostMemory[]> {
  const asked = services.hosts.list().map(async ({ id }) => {
    const memory = await memoryOf(services, id).catch(() => undefined);
    return memory ?? (id === 'local' ? localMemory(services, estimate) : undefined);
  });
  return (await Promise.all(asked)).filter((memory) => memory !== undefined);
}
