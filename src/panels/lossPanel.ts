/** The loss panel in VS Code: one panel, beside the editor, for as many runs as one likes. */
import { createWriteStream } from 'node:fs';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { LossHostContract, LossPageContract, LossState, PanelAction } from '@protocol/panels';
import type { Peer } from '@protocol/rpc';
import * as l10n from '@vscode/l10n';
import * as vscode from 'vscode';
import { runName } from '../runs/describe';
import { type HostRun, type RunRef, type Runs, runKey } from '../runs/runs';
import type { Services } from '../services';
import { LossModel } from './lossModel';
import { hostPanel } from './panelHost';
import { LOSS_PANEL } from './panelTypes';
import { toldIn } from './told';

const COMMANDS = {
  start: 'tuneyard.startFineTune',
  connect: 'tuneyard.host.connect',
  resume: 'tuneyard.run.resume',
  stop: 'tuneyard.run.stop',
  showLog: 'tuneyard.run.showLog',
  compare: 'tuneyard.compare',
  export: 'tuneyard.run.export',
} as const satisfies Record<PanelAction, string>;

/** The panel that is open, if one is. */
let open: { panel: vscode.WebviewPanel; model: LossModel } | undefined;

/** Shows a run in the loss panel, which opens beside the editor where it is not open yet. */
export function showLoss(services: Services, run = newestRun(services.runs)): void {
  if (open) {
    if (run && !open.model.runs.some((shown) => runKey(shown) === runKey(run))) open.model.set([run]);
    open.panel.reveal(undefined, true);
    return;
  }
  const panel = vscode.window.createWebviewPanel(
    LOSS_PANEL,
    l10n.t('Loss'),
    { viewColumn: vscode.ViewColumn.Beside, preserveFocus: true },
    { retainContextWhenHidden: false },
  );
  fillLossPanel(services, panel, run ? { runs: [run] } : undefined);
}

/** @param kept what the page of an earlier window kept */
export function fillLossPanel(
  services: Services,
  panel: vscode.WebviewPanel,
  kept: Partial<LossState> | undefined,
): void {
  const model = new LossModel(services, kept?.runs);
  open = { panel, model };
  const rename = () => {
    const { runs } = model;
    panel.title = runs.length === 1 ? l10n.t('Loss: {0}', runName(runs[0]!.run)) : l10n.t('Loss');
  };
  rename();
  model.onDidChangeRuns(rename);
  // What an empty panel promises: the first run to come appears in it.
  const waiting = services.runs.onDidChange(() => {
    const newest = newestRun(services.runs);
    if (!newest && model.runs.length === 0) return;
    waiting.dispose();
    if (newest && model.runs.length === 0) model.add(newest);
  });
  hostPanel<LossHostContract, LossPageContract>(services, panel, {
    name: 'loss',
    state: kept,
    serve: (peer) => serve(services, model, peer),
    onVisible: (visible) => {
      if (!visible) model.pause();
    },
    onClose: () => {
      waiting.dispose();
      model.dispose();
      if (open?.model === model) open = undefined;
    },
  });
}

/** One that runs comes before those that are done. */
function newestRun(runs: Runs): RunRef | undefined {
  const all = runs.list();
  const run = all.find(({ state }) => state === 'running') ?? all[0];
  return run && { host: run.host, run: run.id };
}

function serve(services: Services, model: LossModel, peer: Peer<LossHostContract, LossPageContract>): void {
  const drawn = model.onDidDraw((frame) => peer.notify('loss/frame', frame));
  peer.onClose(() => drawn.dispose());
  const told = toldIn(services);
  peer.handle('loss/view', (view) => model.draw(view));
  peer.handle('loss/pickRuns', () => told(() => pickRuns(services, model)));
  peer.handle('loss/removeRun', (run) => told(() => model.remove(run)));
  peer.handle('loss/saveCsv', () => told(() => saveCsv(model)));
  peer.handle('loss/savePng', ({ base64 }) => told(() => savePng(model, base64)));
  peer.handle('loss/act', ({ action, run }) =>
    told(() => {
      const item = run && { host: run.host, run: run.run };
      return vscode.commands.executeCommand(COMMANDS[action], ...(item ? [item] : []));
    }),
  );
}

async function pickRuns({ runs, hosts }: Services, model: LossModel): Promise<void> {
  const shown = new Set(model.runs.map(runKey));
  const items = runs.list().map((run) => ({
    label: run.id,
    description: hosts.get(run.host)?.label ?? run.host,
    detail: about(run),
    picked: shown.has(`${run.host}/${run.id}`),
    ref: { host: run.host, run: run.id },
  }));
  const chosen = await vscode.window.showQuickPick(items, {
    canPickMany: true,
    matchOnDescription: true,
    title: l10n.t('Runs in the loss panel'),
    placeHolder: items.length > 0 ? l10n.t('Choose the runs to compare') : l10n.t('No runs yet'),
  });
  if (chosen) model.set(chosen.map(({ ref }) => ref));
}

function about(run: HostRun): string {
  const when = new Date(run.started).toLocaleString(vscode.env.language, { dateStyle: 'medium', timeStyle: 'short' });
  return [
    run.state,
    run.model,
    run.last_loss === undefined ? undefined : l10n.t('loss {0}', run.last_loss.toPrecision(3)),
    when,
  ]
    .filter((part) => part !== undefined)
    .join(' · ');
}

async function saveCsv(model: LossModel): Promise<void> {
  const target = await askWhere(model, 'csv', 'CSV');
  if (!target) return;
  if (target.scheme === 'file') await pipeline(Readable.from(model.csv()), createWriteStream(target.fsPath));
  else await vscode.workspace.fs.writeFile(target, Buffer.from([...model.csv()].join('')));
  await offerToOpen(target);
}

async function savePng(model: LossModel, base64: string): Promise<void> {
  const target = await askWhere(model, 'png', 'PNG');
  if (!target) return;
  await vscode.workspace.fs.writeFile(target, Buffer.from(base64, 'base64'));
  await offerToOpen(target);
}

async function askWhere(model: LossModel, extension: string, kind: string): Promise<vscode.Uri | undefined> {
  const folder = vscode.workspace.workspaceFolders?.[0]?.uri;
  const name = `${model.runs.length === 1 ? model.runs[0]!.run : 'runs'}.${extension}`;
  return vscode.window.showSaveDialog({
    filters: { [kind]: [extension] },
    ...(folder && { defaultUri: vscode.Uri.joinPath(folder, name) }),
  });
}

async function offerToOpen(file: vscode.Uri): Promise<void> {
  const openFile = l10n.t('Open');
  const name = file.path.slice(file.path.lastIndexOf('/') + 1);
  // Not waited for: a message may stand for hours.
  void vscode.window.showInformationMessage(l10n.t('Saved as {0}', name), openFile).then((chosen) => {
    if (chosen) return vscode.commands.executeCommand('vscode.open', file);
  });
}
