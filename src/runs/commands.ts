/** What can be done with a run. */
import { basename, dirname, join } from 'node:path';
import { TuneyardError } from '@protocol/errors';
import * as l10n from '@vscode/l10n';
import * as vscode from 'vscode';
import type { Commands } from '../commands';
import { withProgress } from '../recipes/withProgress';
import type { Runner } from '../runner/runner';
import type { Services } from '../services';
import { formatBytes } from '../ui/format';
import { runLine, runName, stateWord } from './describe';
import { downloadModel } from './exportModel';
import type { HostRun, RunRef } from './runs';
import type { RunTree } from './tree';

/** What the view passes, or a link; from the palette nothing. */
type Item = { host?: string; run?: string | { id: string } } | undefined;
type States = readonly HostRun['state'][];

const ALIVE: States = ['running', 'queued'];
const ENDED: States = ['completed', 'stopped', 'failed', 'crashed'];
const LOG_LINES = 2000;

export function runCommands(services: Services, tree: RunTree): Commands {
  const { runs, runners, pages } = services;
  /** The run that is meant, and its host's runner. */
  const on = async (
    item: Item,
    states: States,
    title: string,
    act: (runner: Runner, run: HostRun) => Promise<unknown>,
  ) => {
    const run = refOf(item) ? known(services, refOf(item)!) : await pickRun(services, states, title);
    if (!run) return;
    const runner = runners.current(run.host) ?? (await connect(services, run.host));
    await act(runner, run);
  };

  return {
    'tuneyard.run.stop': (item: Item) =>
      on(item, ALIVE, l10n.t('Stop'), async ({ peer }, { id }) => {
        await peer.request('runs/stop', { run: id });
        vscode.window.setStatusBarMessage(
          l10n.t('{0} stops at the end of its step, with a checkpoint.', runName(id)),
          8000,
        );
      }),
    'tuneyard.run.kill': (item: Item) =>
      on(item, ALIVE, l10n.t('End at once'), async ({ peer }, run) => {
        const { checkpoints } = await peer.request('runs/files', { run: run.id });
        const last = checkpoints.at(-1)?.step ?? 0;
        const end = l10n.t('End at once');
        const lost = Math.max(0, run.step - last);
        const detail =
          lost === 0
            ? l10n.t('Nothing is lost: its last checkpoint is of this step.')
            : l10n.t('{0} steps since the last checkpoint are lost. "Stop" keeps them.', lost);
        const question = l10n.t('End {0} at once?', runName(run.id));
        if ((await vscode.window.showWarningMessage(question, { modal: true, detail }, end)) !== end) return;
        await peer.request('runs/kill', { run: run.id });
      }),
    'tuneyard.run.resume': (item: Item) =>
      on(item, ['stopped', 'failed', 'crashed'], l10n.t('Resume'), async ({ peer }, { host, id }) => {
        await withProgress(l10n.t('Resuming {0}', runName(id)), (_, signal) =>
          peer.request('runs/resume', { run: id }, signal),
        );
        await vscode.commands.executeCommand('tuneyard.showLoss', { host, run: id });
      }),
    'tuneyard.run.clone': (item: Item) =>
      on(item, [...ALIVE, ...ENDED], l10n.t('Clone with changes'), async ({ peer }, { id }) => {
        const { recipe, source } = await peer.request('runs/recipe', { run: id });
        await openClone(runName(id), recipe, source);
      }),
    'tuneyard.run.delete': (item: Item) =>
      on(item, ENDED, l10n.t('Delete'), async ({ peer }, run) => {
        const { bytes, checkpoints } = await peer.request('runs/files', { run: run.id });
        const remove = l10n.t('Delete');
        const chosen = await vscode.window.showWarningMessage(
          l10n.t('Delete the run {0}?', runName(run.id)),
          {
            modal: true,
            detail: l10n.t(
              '{0} checkpoints and all its files, {1}, are removed for good.',
              checkpoints.length,
              formatBytes(bytes),
            ),
          },
          remove,
        );
        if (chosen !== remove) return;
        const { freed_bytes } = await peer.request('runs/delete', { run: run.id });
        const left = await peer.request('runs/list', {});
        if (left.some(({ id }) => id === run.id)) {
          throw new TuneyardError(
            'remote_failed',
            l10n.t('The run {0} is still there; see its folder {1}.', run.id, run.dir),
          );
        }
        runs.forget({ host: run.host, run: run.id });
        vscode.window.setStatusBarMessage(
          l10n.t('{0} deleted: {1} freed.', runName(run.id), formatBytes(freed_bytes)),
          8000,
        );
      }),
    'tuneyard.run.export': (item: Item) => on(item, ENDED, l10n.t('Export'), (runner, run) => exportRun(runner, run)),
    'tuneyard.run.showLog': (item: Item) =>
      on(item, [...ALIVE, ...ENDED], l10n.t('Show log'), async ({ peer }, { host, id }) => {
        const { text } = await peer.request('runs/log', { run: id, lines: LOG_LINES });
        await pages.show(`${runName(id)}.log`, `${host}/${id}`, text || l10n.t('The log is empty.'));
      }),
    'tuneyard.run.showRecipe': (item: Item) =>
      on(item, [...ALIVE, ...ENDED], l10n.t('Show recipe'), async ({ peer }, { host, id }) => {
        const { recipe, source } = await peer.request('runs/recipe', { run: id });
        const text = source?.recipe_text ?? JSON.stringify(recipe, null, 2);
        const editor = await pages.show(`${runName(id)}.tune.json`, `${host}/${id}`, text);
        await vscode.languages.setTextDocumentLanguage(editor.document, 'jsonc');
      }),
    'tuneyard.run.openFolder': (item: Item) =>
      on(item, [...ALIVE, ...ENDED], l10n.t('Open folder'), async (_, { host, dir }) => {
        if (host === 'local') await vscode.env.openExternal(vscode.Uri.file(dir));
        else await vscode.commands.executeCommand('tuneyard.host.openTerminal', { host, cwd: dir });
      }),
    'tuneyard.run.copyId': (item: Item) =>
      on(item, [...ALIVE, ...ENDED], l10n.t('Copy run ID'), (_, { id }) =>
        Promise.resolve(vscode.env.clipboard.writeText(id)),
      ),
    'tuneyard.run.showMore': (host: string) => tree.showMore(host),
    'tuneyard.reattach': () => reattach(services),
  };
}

function refOf(item: Item): RunRef | undefined {
  const run = typeof item?.run === 'object' ? item.run.id : item?.run;
  return item?.host !== undefined && run !== undefined ? { host: item.host, run } : undefined;
}

function known({ runs }: Services, ref: RunRef): HostRun {
  const run = runs.get(ref);
  if (run) return run;
  throw new TuneyardError('run_not_found', l10n.t('The run {0} is not there any more.', ref.run));
}

async function pickRun({ runs, hosts }: Services, states: States, title: string): Promise<HostRun | undefined> {
  const items = runs
    .list()
    .filter(({ state }) => states.includes(state))
    .map((run) => ({
      label: runName(run.id),
      description: `${stateWord(run.state)} · ${runLine(run, Date.now(), vscode.env.language)}`,
      detail: `${hosts.get(run.host)?.label ?? run.host} · ${run.id}`,
      run,
    }));
  if (items.length === 0) {
    throw new TuneyardError('usage', l10n.t('There is no run to do this with.'));
  }
  return (await vscode.window.showQuickPick(items, { title, matchOnDetail: true }))?.run;
}

function connect({ hosts, runners }: Services, host: string): Promise<Runner> {
  return withProgress(hosts.get(host)?.label ?? host, (report, signal) =>
    runners.open(host, { signal, onProgress: report }),
  );
}

/** Connects to every host that had a run at work, and says what became of it. */
async function reattach(services: Services): Promise<void> {
  const { runs, runners, hosts } = services;
  const waiting = runs.hostsAtWork().filter((host) => !runners.current(host) && hosts.get(host));
  const done = await Promise.allSettled(waiting.map((host) => connect(services, host)));
  const failed = done.find((each) => each.status === 'rejected');
  if (failed) throw failed.reason;
  const alive = runs.list().filter(({ state }) => state === 'running' || state === 'queued').length;
  vscode.window.setStatusBarMessage(
    alive === 0 ? l10n.t('No run is at work.') : l10n.t('{0} runs are at work.', alive),
    8000,
  );
}

/** A new recipe beside the old one, or in an untitled editor where that is not on this machine any more. */
async function openClone(
  name: string,
  recipe: Record<string, unknown>,
  source: { recipe_path?: string; recipe_text?: string; sent?: Record<string, string> } | undefined,
): Promise<void> {
  const uri = source?.recipe_path === undefined ? undefined : vscode.Uri.parse(source.recipe_path);
  const text = source?.recipe_text ?? `${JSON.stringify(backHere(recipe, source?.sent ?? {}), null, 2)}\n`;
  const folder = uri?.scheme === 'file' ? dirname(uri.fsPath) : undefined;
  const there = folder !== undefined && (await exists(vscode.Uri.file(folder)));
  if (!there) {
    const document = await vscode.workspace.openTextDocument({ language: 'jsonc', content: text });
    await vscode.window.showTextDocument(document);
    return;
  }
  const base = basename(uri!.fsPath).replace(/(-\d+)?(\.tune)?\.json$/, '') || name;
  for (let i = 2; ; i++) {
    const file = vscode.Uri.file(join(folder, `${base}-${i}.tune.json`));
    if (await exists(file)) continue;
    await vscode.workspace.fs.writeFile(file, new TextEncoder().encode(text));
    await vscode.window.showTextDocument(file);
    return;
  }
}

/** Files that were sent are named as they are here. */
function backHere(value: unknown, sent: Record<string, string>): unknown {
  if (typeof value === 'string') return sent[value] ?? value;
  if (Array.isArray(value)) return value.map((each) => backHere(each, sent));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, backHere(each, sent)]));
}

async function exists(uri: vscode.Uri): Promise<boolean> {
  try {
    await vscode.workspace.fs.stat(uri);
    return true;
  } catch {
    return false;
  }
}

async function exportRun(runner: Runner, run: HostRun): Promise<void> {
  const files = await runner.peer.request('runs/files', { run: run.id });
  const choices = [
    ...(files.model_path === undefined ? [] : [{ label: l10n.t('Final model'), path: files.model_path }]),
    ...files.checkpoints.map(({ step, path, bytes, best }) => ({
      label: l10n.t('Checkpoint of step {0}', step),
      description: [best ? `★ ${l10n.t('best')}` : '', formatBytes(bytes)].filter(Boolean).join(' · '),
      path,
    })),
  ];
  if (choices.length === 0) {
    throw new TuneyardError('usage', l10n.t('{0} has no model and no checkpoint to export.', runName(run.id)));
  }
  const title = l10n.t('Export {0}', runName(run.id));
  const chosen = choices.length === 1 ? choices[0] : await vscode.window.showQuickPick(choices, { title });
  if (!chosen) return;
  const [parent] =
    (await vscode.window.showOpenDialog({
      title,
      canSelectFolders: true,
      canSelectFiles: false,
      openLabel: l10n.t('Export here'),
    })) ?? [];
  if (!parent) return;
  const to = await freeFolder(parent.fsPath, runName(run.id));
  const bytes = await withProgress(title, (report, signal) =>
    downloadModel(runner, chosen.path, to, { signal, report }),
  );
  const open = l10n.t('Open folder');
  const answer = await vscode.window.showInformationMessage(
    l10n.t('{0} exported to {1} ({2}).', runName(run.id), to, formatBytes(bytes)),
    open,
  );
  if (answer === open) await vscode.env.openExternal(vscode.Uri.file(to));
}

async function freeFolder(parent: string, name: string): Promise<string> {
  for (let i = 1; ; i++) {
    const folder = join(parent, i === 1 ? name : `${name}-${i}`);
    if (!(await exists(vscode.Uri.file(folder)))) return folder;
  }
}
