/** What can be done with a run. */
import { TuneyardError } from '@protocol/errors';
import * as l10n from '@vscode/l10n';
import * as vscode from 'vscode';
import type { Commands } from '../commands';
import { withProgress } from '../recipes/withProgress';
import type { Runner } from '../runner/runner';
import type { Services } from '../services';
import { formatBytes } from '../ui/format';
import { cloneRecipe } from './cloneRecipe';
import { runLine, runName, stateWord } from './describe';
import { exportRun } from './exportRun';
import { openFolder } from './folders';
import { showLive } from './livePage';
import type { HostRun, RunRef } from './runs';
import { samplesPage } from './samplesPage';
import { isAlive } from './store';
import type { RunTree } from './tree';

/** What the view passes, or a link; from the palette nothing. */
type Item = { host?: string; run?: string | { id: string }; checkpoint?: { step: number } } | undefined;
type States = readonly HostRun['state'][];

const ALIVE: States = ['running', 'queued'];
const ENDED: States = ['completed', 'stopped', 'failed', 'crashed'];
const ALL: States = [...ALIVE, ...ENDED];
const LOG_LINES = 2000;
const LOG_MS = 2000;

export function runCommands(services: Services, tree: RunTree): Commands {
  const { runs, runners, pages } = services;
  const which = (item: Item, states: States, title: string) => {
    const ref = refOf(item);
    return ref ? known(services, ref) : pickRun(services, states, title);
  };
  /** The run that is meant, and its host's runner. */
  const on = async (
    item: Item,
    states: States,
    title: string,
    act: (runner: Runner, run: HostRun) => Promise<unknown>,
  ) => {
    const run = await which(item, states, title);
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
        const stop = l10n.t('Stop with a checkpoint');
        const lost = Math.max(0, run.step - last);
        const detail =
          lost === 0
            ? l10n.t('Nothing is lost: its last checkpoint is of this step.')
            : l10n.t('{0} steps since the last checkpoint are lost.', lost);
        const question = l10n.t('End {0} at once?', runName(run.id));
        // What comes first is what Enter does.
        const chosen = await vscode.window.showWarningMessage(question, { modal: true, detail }, stop, end);
        if (chosen === stop) await peer.request('runs/stop', { run: run.id });
        if (chosen === end) await peer.request('runs/kill', { run: run.id });
      }),
    'tuneyard.run.resume': (item: Item) =>
      on(item, ['stopped', 'failed', 'crashed'], l10n.t('Resume'), async ({ peer }, { host, id }) => {
        await withProgress(l10n.t('Resuming {0}', runName(id)), (_, signal) =>
          peer.request('runs/resume', { run: id }, signal),
        );
        await vscode.commands.executeCommand('tuneyard.showLoss', { host, run: id });
      }),
    'tuneyard.run.clone': (item: Item) =>
      on(item, ALL, l10n.t('Clone with changes'), async ({ peer }, { id }) => {
        const { recipe, source } = await peer.request('runs/recipe', { run: id });
        await cloneRecipe(runName(id), recipe, source);
      }),
    'tuneyard.run.delete': async (item: Item) => {
      const deleted = await which(item, ENDED, l10n.t('Delete'));
      if (!deleted) return;
      if (!services.hosts.get(deleted.host)) return forgetLost(services, deleted);
      await on({ host: deleted.host, run: deleted.id }, ENDED, '', async ({ peer }, run) => {
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
          l10n.t('Keep'),
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
      });
    },
    'tuneyard.run.export': (item: Item) =>
      on(item, ENDED, l10n.t('Export'), (runner, run) => exportRun(runner, run, item?.checkpoint?.step)),
    'tuneyard.run.showLog': (item: Item) =>
      on(item, ALL, l10n.t('Show log'), (_, { host, id }) =>
        showLive(pages, {
          name: `${runName(id)}.log`,
          about: `${host}/${id}`,
          read: async () => {
            const runner = runners.current(host) ?? (await connect(services, host));
            const { text } = await runner.peer.request('runs/log', { run: id, lines: LOG_LINES });
            return text || l10n.t('The log is empty.');
          },
          watch: (renew) => {
            const timer = setInterval(() => {
              const run = runs.get({ host, run: id });
              if (run && isAlive(run) && runners.current(host)) renew();
            }, LOG_MS);
            return { dispose: () => clearInterval(timer) };
          },
        }),
      ),
    'tuneyard.run.showSamples': async (item: Item) => {
      const run = await which(item, ALL, l10n.t('Show samples'));
      if (!run) return;
      const followed = runs.follow({ host: run.host, run: run.id });
      await showLive(pages, {
        name: l10n.t('{0} samples', runName(run.id)),
        about: `${run.host}/${run.id}`,
        read: async () => samplesPage(run.id, followed.generations),
        watch: (renew) => {
          const subscription = followed.onDidChange(renew);
          renew();
          return vscode.Disposable.from({ dispose: () => subscription.dispose() }, followed);
        },
      });
    },
    'tuneyard.run.showRecipe': (item: Item) =>
      on(item, ALL, l10n.t('Show recipe'), async ({ peer }, { host, id }) => {
        const { recipe, source } = await peer.request('runs/recipe', { run: id });
        const text = source?.recipe_text ?? JSON.stringify(recipe, null, 2);
        const editor = await pages.show(`${runName(id)}.tune.json`, `${host}/${id}`, text);
        await vscode.languages.setTextDocumentLanguage(editor.document, 'jsonc');
      }),
    'tuneyard.run.openFolder': async (item: Item) => {
      const run = await which(item, ALL, l10n.t('Open folder'));
      if (!run) return;
      if (run.host === 'local') await openFolder(run.dir);
      else await vscode.commands.executeCommand('tuneyard.host.openTerminal', { host: run.host, cwd: run.dir });
    },
    'tuneyard.run.copyId': async (item: Item) => {
      const run = await which(item, ALL, l10n.t('Copy run ID'));
      if (run) await vscode.env.clipboard.writeText(run.id);
    },
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

/** Its host is not listed any more: only what is remembered here can go. */
async function forgetLost({ runs }: Services, { host, id }: HostRun): Promise<void> {
  const forget = l10n.t('Remove from the list');
  const chosen = await vscode.window.showWarningMessage(
    l10n.t('Remove {0} from the list?', runName(id)),
    { modal: true, detail: l10n.t('Its host is not listed any more. Its files there are left as they are.') },
    l10n.t('Keep'),
    forget,
  );
  if (chosen === forget) runs.forget({ host, run: id });
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
