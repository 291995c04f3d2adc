/** The compare panel in VS Code. */
import { dirname, join } from 'node:path';
import type { CompareModel as Column, CompareHostContract, ComparePageContract, CompareState } from '@protocol/panels';
import type { Peer } from '@protocol/rpc';
import * as l10n from '@vscode/l10n';
import * as vscode from 'vscode';
import { withProgress } from '../recipes/withProgress';
import { runName } from '../runs/describe';
import type { HostRun, RunRef } from '../runs/runs';
import type { Services } from '../services';
import { compareJson, compareMarkdown } from './compareExport';
import { CompareModel } from './compareModel';
import { modelsOfRun, tunedModel } from './modelCandidates';
import { hostPanel } from './panelHost';
import { COMPARE_PANEL } from './panelTypes';
import { appendPreference } from './preferences';
import { toldIn } from './told';

/** Opens a comparison of a run with what it began with, or an empty one to fill. `step`: of the checkpoint to compare. */
export async function showCompare(services: Services, run?: RunRef, step?: number): Promise<void> {
  const kept = run && (await firstColumns(services, run, step));
  const title = run ? l10n.t('Compare: {0}', runName(run.run)) : l10n.t('Compare');
  const panel = vscode.window.createWebviewPanel(
    COMPARE_PANEL,
    title,
    { viewColumn: vscode.ViewColumn.Active },
    { retainContextWhenHidden: false },
  );
  const model = fillComparePanel(services, panel, kept);
  void model.run({ what: 'missing' });
}

/** @param kept what the page of an earlier window kept */
export function fillComparePanel(
  services: Services,
  panel: vscode.WebviewPanel,
  kept: Partial<CompareState> | undefined,
): CompareModel {
  const model = new CompareModel(services.runners, kept);
  hostPanel<CompareHostContract, ComparePageContract>(services, panel, {
    name: 'compare',
    state: model.state,
    serve: (peer) => serve(services, model, peer),
    onClose: () => model.dispose(),
  });
  return model;
}

async function firstColumns(services: Services, { host, run }: RunRef, step?: number): Promise<Partial<CompareState>> {
  const models = await withProgress(l10n.t('Comparing {0}', runName(run)), async (report, signal) => {
    const runner = await services.runners.open(host, { signal, onProgress: report });
    return modelsOfRun(runner, run, signal);
  });
  const tuned = models.checkpoints.find((checkpoint) => checkpoint.step === step) ?? tunedModel(models);
  const { base, prompts, sampling, recipe } = models;
  return {
    models: [base, tuned].filter((model): model is Column => model !== undefined),
    prompts: prompts.map((text, i) => ({ id: String(i), text })),
    sampling: sampling as CompareState['sampling'],
    ...(recipe !== undefined && { recipe }),
  };
}

function serve(services: Services, model: CompareModel, peer: Peer<CompareHostContract, ComparePageContract>): void {
  const changed = model.onDidChange((state) => peer.notify('compare/changed', state));
  const wrote = model.onDidWrite((texts) => peer.notify('compare/texts', texts));
  peer.onClose(() => {
    changed.dispose();
    wrote.dispose();
  });
  const told = toldIn(services);
  peer.handle('compare/state', () => model.state);
  peer.handle('compare/pickModels', () => told(() => pickModels(services, model)));
  peer.handle('compare/removeModel', (asked) => told(() => model.removeModel(asked.model)));
  peer.handle('compare/addPrompt', ({ text }) =>
    told(() => {
      // Written at once, but the page is answered at once, too.
      void model.run({ what: 'missing', prompt: model.addPrompt(text) });
    }),
  );
  peer.handle('compare/editPrompt', ({ prompt, text }) => told(() => model.editPrompt(prompt, text)));
  peer.handle('compare/removePrompt', ({ prompt }) => told(() => model.removePrompt(prompt)));
  peer.handle('compare/setSampling', (part) => told(() => model.setSampling(part)));
  peer.handle('compare/run', (asked) =>
    told(() => {
      void model.run(asked);
    }),
  );
  peer.handle('compare/cancel', () => told(() => model.cancel()));
  peer.handle('compare/prefer', ({ prompt, chosen, rejected }) => told(() => prefer(model, prompt, chosen, rejected)));
  peer.handle('compare/openKept', () => told(() => openKept(model)));
  peer.handle('compare/copyMarkdown', () =>
    told(async () => {
      await vscode.env.clipboard.writeText(compareMarkdown(model.state));
      vscode.window.setStatusBarMessage(l10n.t('Copied the comparison as Markdown'), 4000);
    }),
  );
  peer.handle('compare/saveJson', () => told(() => saveJson(model)));
}

type Item = vscode.QuickPickItem & { model?: Column };

/** Models of every run on the hosts that are connected, by run. */
async function pickModels(services: Services, model: CompareModel): Promise<void> {
  const picker = vscode.window.createQuickPick<Item>();
  picker.title = l10n.t('Models to compare');
  picker.placeholder = l10n.t('Base models, checkpoints and results of runs on connected hosts');
  picker.canSelectMany = true;
  picker.matchOnDescription = true;
  picker.busy = true;
  const closed = new AbortController();
  const accepted = new Promise<readonly Item[]>((resolve) => {
    picker.onDidAccept(() => {
      resolve(picker.selectedItems);
      picker.hide();
    });
    picker.onDidHide(() => {
      closed.abort();
      resolve([]);
      picker.dispose();
    });
  });
  picker.show();
  const shown = new Set(model.state.models.map(({ id }) => id));
  for (const run of services.runs.list()) {
    const items = await itemsOf(services, run, shown, closed.signal);
    if (closed.signal.aborted) break;
    // Selected ones stay so: the list is only ever added to.
    const { selectedItems } = picker;
    picker.items = [...picker.items, ...items];
    picker.selectedItems = selectedItems;
  }
  if (!closed.signal.aborted) {
    picker.busy = false;
    if (picker.items.length === 0)
      picker.placeholder = l10n.t('No run to take a model from. Connect to a host that has some.');
  }
  const chosen = (await accepted).flatMap((item) => item.model ?? []);
  if (chosen.length === 0) return;
  model.addModels(chosen);
  void model.run({ what: 'missing' });
}

async function itemsOf(services: Services, run: HostRun, shown: Set<string>, signal: AbortSignal): Promise<Item[]> {
  const runner = services.runners.current(run.host);
  if (!runner) return [];
  // A run that is being deleted lends none.
  const models = await modelsOfRun(runner, run.id, signal).catch(() => undefined);
  if (!models) return [];
  const { base, checkpoints, final } = models;
  const items = [final, ...checkpoints.toReversed(), base].flatMap((model): Item[] => {
    if (!model || shown.has(model.id)) return [];
    shown.add(model.id);
    return [{ label: model.label, ...(model.best && { description: l10n.t('★ best') }), detail: model.path, model }];
  });
  if (items.length === 0) return [];
  return [{ label: `${run.id} · ${runner.host.label}`, kind: vscode.QuickPickItemKind.Separator }, ...items];
}

async function prefer(model: CompareModel, prompt: string, chosen: string, rejected: string): Promise<void> {
  const pair = model.preference(prompt, chosen, rejected);
  const file = await preferencesFile(model.state);
  if (file === undefined) return;
  await appendPreference(file, pair);
  model.keptPair(file);
}

/** Beside the recipe; where that is not known, where the person says. */
async function preferencesFile({ recipe, keptIn }: CompareState): Promise<string | undefined> {
  if (keptIn !== undefined) return keptIn;
  const name = 'preferences.jsonl';
  if (recipe !== undefined) {
    const path = recipe.startsWith('file:') ? vscode.Uri.parse(recipe).fsPath : recipe;
    return join(dirname(path), name);
  }
  const folder = vscode.workspace.workspaceFolders?.[0]?.uri;
  const target = await vscode.window.showSaveDialog({
    title: l10n.t('Where to keep which texts are better'),
    filters: { JSONL: ['jsonl'] },
    ...(folder && { defaultUri: vscode.Uri.joinPath(folder, name) }),
  });
  return target?.fsPath;
}

async function openKept(model: CompareModel): Promise<void> {
  const { keptIn } = model.state;
  if (keptIn !== undefined) await vscode.window.showTextDocument(vscode.Uri.file(keptIn), { preview: true });
}

async function saveJson(model: CompareModel): Promise<void> {
  const folder = vscode.workspace.workspaceFolders?.[0]?.uri;
  const target = await vscode.window.showSaveDialog({
    filters: { JSON: ['json'] },
    ...(folder && { defaultUri: vscode.Uri.joinPath(folder, 'comparison.json') }),
  });
  if (!target) return;
  await vscode.workspace.fs.writeFile(target, Buffer.from(compareJson(model.state)));
  await vscode.window.showTextDocument(target, { preview: true });
}
