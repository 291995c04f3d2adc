/** The Runs view: hosts, their runs, and what is in a run. */
import type { RunFiles } from '@protocol/serve';
import * as l10n from '@vscode/l10n';
import * as vscode from 'vscode';
import type { Services } from '../services';
import { formatBytes } from '../ui/format';
import { runDetails, runLine, runName, stateWord } from './describe';
import { type HostRun, type RunRef, runKey } from './runs';

/** The argument of the commands on a run. */
type RunNode = RunRef & { kind: 'run' };
type Checkpoint = RunFiles['checkpoints'][number];
type CheckpointsNode = RunRef & { kind: 'checkpoints'; checkpoints: readonly Checkpoint[] };
type CheckpointNode = RunRef & { kind: 'checkpoint'; checkpoint: Checkpoint };
type Node =
  | { kind: 'host'; host: string }
  | RunNode
  | { kind: 'more'; host: string }
  | CheckpointsNode
  | CheckpointNode
  | { kind: 'part'; item: vscode.TreeItem };

const PAGE = 100;
/** What is in a run's folder is not looked up anew with each of its steps. */
const FILES_MS = 5000;
const MINUTE_MS = 60_000;
/** To draw a row anew takes its hover away, or the time that one waits for it: so often, and one that is read, later. */
const DRAW_MS = 2000;
const READING_MS = 8000;

const ICONS: Record<HostRun['state'], [string, string?]> = {
  queued: ['watch', 'charts.blue'],
  running: ['sync~spin', 'charts.blue'],
  completed: ['pass', 'testing.iconPassed'],
  stopped: ['circle-slash', 'charts.yellow'],
  failed: ['error', 'testing.iconFailed'],
  crashed: ['warning', 'testing.iconFailed'],
};

export class RunTree implements vscode.TreeDataProvider<Node>, vscode.Disposable {
  readonly #changed = new vscode.EventEmitter<Node | undefined>();
  readonly onDidChangeTreeData = this.#changed.event;
  readonly #nodes = new Map<string, Node>();
  /** What each run looked like when it was last drawn. */
  readonly #drawn = new Map<string, string>();
  /** Until when a row is left as it is. */
  readonly #held = new Map<string, number>();
  readonly #pages = new Map<string, number>();
  readonly #files = new Map<string, { asked: number; state: string; found: Promise<RunFiles | undefined> }>();
  readonly #subscription: { dispose(): void };
  readonly #timer: NodeJS.Timeout;
  #later: NodeJS.Timeout | undefined;
  #order = '';

  constructor(private readonly services: Services) {
    this.#subscription = services.runs.onDidChange(() => this.#refresh());
    // "5 minutes ago" becomes 6.
    this.#timer = setInterval(() => this.#refresh(), MINUTE_MS);
  }

  dispose(): void {
    clearInterval(this.#timer);
    clearTimeout(this.#later);
    this.#subscription.dispose();
    this.#changed.dispose();
  }

  /** Another hundred of a host's runs. */
  showMore(host: string): void {
    this.#pages.set(host, (this.#pages.get(host) ?? 1) + 1);
    this.#changed.fire(this.#node(`host:${host}`, { kind: 'host', host }));
  }

  getTreeItem(node: Node): vscode.TreeItem {
    switch (node.kind) {
      case 'host':
        return this.#hostItem(node.host);
      case 'run':
        return this.#runItem(node);
      case 'more':
        return this.#moreItem(node.host);
      case 'checkpoints':
        return checkpointsItem(node);
      case 'checkpoint':
        return checkpointItem(node);
      case 'part':
        return node.item;
    }
  }

  /** Called when the mouse comes to rest on a row. */
  resolveTreeItem(item: vscode.TreeItem, node: Node): vscode.TreeItem {
    if (node.kind !== 'run') return item;
    const run = this.services.runs.get(node);
    if (!run) return item;
    item.tooltip = tooltip(run);
    this.#held.set(runKey(node), Date.now() + READING_MS);
    return item;
  }

  async getChildren(node?: Node): Promise<Node[]> {
    if (!node) return this.#hosts().map((host) => this.#node(`host:${host}`, { kind: 'host', host }));
    if (node.kind === 'host') return this.#runsOf(node.host);
    if (node.kind === 'checkpoints') {
      const { host, run, checkpoints } = node;
      return [...checkpoints].reverse().map((checkpoint) => ({ kind: 'checkpoint', host, run, checkpoint }));
    }
    return node.kind === 'run' ? this.#partsOf(node) : [];
  }

  #hosts(): string[] {
    const all = this.services.runs.list();
    // This machine and the others in the order in which hosts are listed; then those that are listed no more.
    const known = this.services.hosts.list().map(({ id }) => id);
    const found = new Set(all.map(({ host }) => host));
    return [...known.filter((host) => found.has(host)), ...[...found].filter((host) => !known.includes(host))];
  }

  #runsOf(host: string): Node[] {
    const runs = this.services.runs.list(host);
    const shown = PAGE * (this.#pages.get(host) ?? 1);
    const nodes = runs
      .slice(0, shown)
      .map(({ id }) => this.#node(`run:${runKey({ host, run: id })}`, { kind: 'run', host, run: id }));
    return runs.length > shown ? [...nodes, this.#node(`more:${host}`, { kind: 'more', host })] : nodes;
  }

  async #partsOf({ host, run }: RunNode): Promise<Node[]> {
    const files = await this.#filesOf({ host, run });
    const argument = { host, run };
    const part = (label: string, icon: string, command: string, description?: string): Node => {
      const item = new vscode.TreeItem(label);
      item.id = `${command} ${runKey(argument)}`;
      item.iconPath = new vscode.ThemeIcon(icon);
      if (description !== undefined) item.description = description;
      item.command = { command, title: label, arguments: [argument] };
      return { kind: 'part', item };
    };
    const { checkpoints = [], model_path, bytes } = files ?? {};
    return [
      ...(checkpoints.length > 0 ? [{ kind: 'checkpoints', host, run, checkpoints } satisfies Node] : []),
      ...(model_path === undefined ? [] : [part(l10n.t('Final model'), 'package', 'tuneyard.run.export')]),
      part(l10n.t('Loss chart'), 'graph-line', 'tuneyard.showLoss'),
      part(l10n.t('Samples'), 'quote', 'tuneyard.run.showSamples'),
      part(l10n.t('Log'), 'output', 'tuneyard.run.showLog'),
      part(l10n.t('Recipe'), 'json', 'tuneyard.run.showRecipe'),
      ...(bytes === undefined ? [] : [part(l10n.t('Folder'), 'folder', 'tuneyard.run.openFolder', formatBytes(bytes))]),
    ];
  }

  #filesOf(ref: RunRef): Promise<RunFiles | undefined> | undefined {
    const key = runKey(ref);
    const state = this.services.runs.get(ref)?.state ?? '';
    const known = this.#files.get(key);
    if (known?.state === state && Date.now() - known.asked < FILES_MS) return known.found;
    const runner = this.services.runners.current(ref.host);
    const found = runner?.peer.request('runs/files', { run: ref.run }).catch(() => undefined);
    if (found) this.#files.set(key, { asked: Date.now(), state, found });
    return found;
  }

  #hostItem(host: string): vscode.TreeItem {
    const label = this.services.hosts.get(host)?.label ?? host.replace(/^ssh:/, '');
    const item = new vscode.TreeItem(label, vscode.TreeItemCollapsibleState.Expanded);
    item.id = `host:${host}`;
    item.iconPath = new vscode.ThemeIcon(host === 'local' ? 'device-desktop' : 'remote');
    const isOpen = this.services.runners.current(host) !== undefined;
    if (!isOpen) item.description = l10n.t('as last seen');
    // Of one that is listed no more there is nothing to connect to.
    item.contextValue = isOpen || !this.services.hosts.get(host) ? 'runHost' : 'runHost.away';
    return item;
  }

  #runItem({ host, run: id }: RunNode): vscode.TreeItem {
    const run = this.services.runs.get({ host, run: id });
    const item = new vscode.TreeItem(runName(id), vscode.TreeItemCollapsibleState.Collapsed);
    item.id = `run:${runKey({ host, run: id })}`;
    if (!run) return item;
    const isSeen = this.services.runners.current(host) !== undefined;
    const line = runLine(run, Date.now(), vscode.env.language);
    const [icon, color] = ICONS[run.state];
    item.description = line;
    // A wheel that turns says that we know.
    item.iconPath = new vscode.ThemeIcon(
      isSeen ? icon : icon.replace('~spin', ''),
      color ? new vscode.ThemeColor(color) : undefined,
    );
    item.contextValue = `run.${run.state}`;
    item.accessibilityInformation = { label: `${runName(id)}, ${stateWord(run.state)}, ${line}` };
    return item;
  }

  #moreItem(host: string): vscode.TreeItem {
    const item = new vscode.TreeItem(l10n.t('Show older runs'));
    item.iconPath = new vscode.ThemeIcon('ellipsis');
    item.command = { command: 'tuneyard.run.showMore', title: l10n.t('Show older runs'), arguments: [host] };
    return item;
  }

  #node(key: string, made: Node): Node {
    const node = this.#nodes.get(key) ?? made;
    this.#nodes.set(key, node);
    return node;
  }

  /** Only what changed is drawn anew; the whole where runs came or went. */
  #refresh(): void {
    const runs = this.services.runs.list();
    const hosts = this.#hosts().map((host) => `${host} ${this.services.runners.current(host) !== undefined}`);
    const order = [...hosts, ...runs.map((run) => `${run.host}/${run.id}`)].join('\n');
    if (order !== this.#order) {
      this.#order = order;
      for (const run of runs) this.#drawn.set(runKey({ host: run.host, run: run.id }), this.#look(run));
      this.#changed.fire(undefined);
      return;
    }
    for (const run of runs) {
      const key = runKey({ host: run.host, run: run.id });
      const look = this.#look(run);
      if (this.#drawn.get(key) === look) continue;
      const isNews = this.#drawn.get(key)?.split(' ')[0] !== run.state;
      const wait = (this.#held.get(key) ?? 0) - Date.now();
      if (!isNews && wait > 0) {
        this.#refreshIn(wait);
        continue;
      }
      this.#held.set(key, Date.now() + DRAW_MS);
      this.#drawn.set(key, look);
      const node = this.#nodes.get(`run:${key}`);
      if (node) this.#changed.fire(node);
    }
  }

  #refreshIn(wait: number): void {
    this.#later ??= setTimeout(() => {
      this.#later = undefined;
      this.#refresh();
    }, wait);
  }

  #look(run: HostRun): string {
    const isSeen = this.services.runners.current(run.host) !== undefined;
    return `${run.state} ${isSeen} ${runLine(run, Date.now(), vscode.env.language)}`;
  }
}

function checkpointsItem({ host, run, checkpoints }: CheckpointsNode): vscode.TreeItem {
  const label = l10n.t('Checkpoints ({0})', checkpoints.length);
  const item = new vscode.TreeItem(label, vscode.TreeItemCollapsibleState.Collapsed);
  item.id = `checkpoints ${runKey({ host, run })}`;
  item.iconPath = new vscode.ThemeIcon('bookmark');
  // The best one first: what does not fit is cut off.
  const best = checkpoints.filter((checkpoint) => checkpoint.best);
  const others = checkpoints.filter((checkpoint) => !checkpoint.best).reverse();
  item.description = [
    ...best.map(({ step }) => `★ ${l10n.t('step {0}', step)}`),
    ...others.map(({ step }) => l10n.t('step {0}', step)),
  ].join(' · ');
  return item;
}

function checkpointItem({ host, run, checkpoint: { step, path, bytes, best } }: CheckpointNode): vscode.TreeItem {
  const item = new vscode.TreeItem(l10n.t('Step {0}', step));
  item.id = `checkpoint ${runKey({ host, run })} ${path}`;
  item.description = best ? `★ ${l10n.t('best')} · ${formatBytes(bytes)}` : formatBytes(bytes);
  item.iconPath = new vscode.ThemeIcon('bookmark');
  item.tooltip = path;
  item.contextValue = 'checkpoint';
  item.command = {
    command: 'tuneyard.compare',
    title: l10n.t('Compare texts'),
    arguments: [{ host, run, checkpoint: { step } }],
  };
  return item;
}

function tooltip(run: HostRun): vscode.MarkdownString {
  const text = new vscode.MarkdownString();
  text.appendMarkdown('**');
  text.appendText(run.id);
  text.appendMarkdown('**\n\n');
  for (const [name, value] of runDetails(run, Date.now(), vscode.env.language)) {
    text.appendText(`${name}: ${value}`);
    text.appendMarkdown('  \n');
  }
  return text;
}
