/** The Hosts view: machines, how busy they are, and what they have. */
import { cpus } from 'node:os';
import type { VmView } from '@protocol/cloud';
import type { HostStatus } from '@protocol/serve';
import * as l10n from '@vscode/l10n';
import * as vscode from 'vscode';
import { vmItem, vmTooltip } from '../cloud/ui/vmItem';
import { vmKey } from '../cloud/ui/vms';
import type { Services } from '../services';
import { hostDetails, hostLine } from './describeHost';
import type { Host, HostState } from './host';

const POLL_MS = 10_000;

/** A VM that can be reached has its host below it. */
type Node = { host: string; vm?: undefined } | { vm: string; host?: undefined };

export class HostTree implements vscode.TreeDataProvider<Node>, vscode.Disposable {
  readonly #changed = new vscode.EventEmitter<Node | undefined>();
  readonly onDidChangeTreeData = this.#changed.event;
  readonly #nodes = new Map<string, Node>();
  readonly #status = new Map<string, HostStatus>();
  readonly #asking = new Set<string>();
  /** What each host looked like when it was last drawn. */
  readonly #drawn = new Map<string, string>();
  readonly #listening = new Map<string, { host: Host; dispose(): void }>();
  readonly #subscriptions: { dispose(): void }[];
  #timer: NodeJS.Timeout | undefined;
  /** The VMs of the rows that are shown, and which of them have a row below. */
  #listedVms = '';

  constructor(private readonly services: Services) {
    const { hosts, runners, runs, vms } = services;
    this.#subscriptions = [
      hosts.onDidChange(() => this.#changed.fire(undefined)),
      vms.onDidChange(() => this.#drawVms()),
      runners.onDidOpen(({ host }) => this.refresh(host.id)),
      runners.onDidClose(({ hostId }) => {
        this.#status.delete(hostId);
        this.#draw(hostId);
      }),
      runs.onDidChange(() => {
        for (const host of this.#status.keys()) this.#draw(host);
      }),
    ];
  }

  /** Asks the machines that are connected, as long as somebody looks. */
  watch(isVisible: boolean): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    if (!isVisible) return;
    const look = () => {
      for (const { id } of this.services.hosts.list()) void this.refresh(id);
      this.#drawVms();
    };
    look();
    this.#timer = setInterval(look, POLL_MS);
  }

  /** Asks a machine anew, where it is connected. */
  async refresh(id: string): Promise<void> {
    const runner = this.services.runners.current(id);
    if (!runner || this.#asking.has(id)) return;
    this.#asking.add(id);
    try {
      this.#status.set(id, await runner.peer.request('host/status', {}));
    } catch {
      // It goes: then its state says so.
    } finally {
      this.#asking.delete(id);
    }
    this.#draw(id);
  }

  status(id: string): HostStatus | undefined {
    return this.#status.get(id);
  }

  dispose(): void {
    clearInterval(this.#timer);
    for (const each of [...this.#subscriptions, ...this.#listening.values()]) each.dispose();
    this.#changed.dispose();
  }

  getChildren(node?: Node): Node[] {
    const { hosts, vms } = this.services;
    const all = vms.list();
    if (node) {
      const host = node.vm === undefined ? undefined : vms.get(node.vm)?.host;
      return host !== undefined && hosts.get(host) ? [this.#hostNode(host)] : [];
    }
    this.#listedVms = shapeOf(all);
    const ofVms = new Set(all.map(({ host }) => host));
    return [
      ...hosts
        .list()
        .filter(({ id }) => !ofVms.has(id))
        .map(({ id }) => this.#hostNode(id)),
      ...all.map((vm) => this.#vmNode(vmKey(vm))),
    ];
  }

  /** A VM's own row is above: below it is how the machine is. */
  getParent(node: Node): Node | undefined {
    if (node.vm !== undefined) return undefined;
    const vm = this.services.vms.list().find(({ host }) => host === node.host);
    return vm && this.#vmNode(vmKey(vm));
  }

  getTreeItem(node: Node): vscode.TreeItem {
    if (node.vm !== undefined) {
      const vm = this.services.vms.get(node.vm);
      return vm ? vmItem(vm, Date.now()) : new vscode.TreeItem(node.vm);
    }
    const { host: id } = node;
    const host = this.services.hosts.get(id);
    const isOfVm = this.services.vms.list().some((vm) => vm.host === id);
    const item = new vscode.TreeItem(isOfVm ? l10n.t('Machine') : (host?.label ?? id));
    item.id = id;
    if (!host) return item;
    const status = this.#status.get(id);
    const isOpen = this.services.runners.current(id) !== undefined;
    // A connection without a runner is of no use yet.
    const state: HostState = host.state.kind === 'connected' && !isOpen ? { kind: 'disconnected' } : host.state;
    const running = this.services.runs.list(id).filter((run) => run.state === 'running').length;
    const isLocal = id === 'local';
    item.description = isLocal && !status ? l10n.t('{0} cores', cpus().length) : hostLine(state, status, running);
    item.iconPath = icon(id, state.kind);
    item.contextValue = `host.${isLocal ? 'local' : state.kind}${this.#isAdded(id) ? '.added' : ''}`;
    item.accessibilityInformation = { label: [host.label, item.description].filter(Boolean).join(', ') };
    return item;
  }

  /** Called when the mouse comes to rest on a row. */
  resolveTreeItem(item: vscode.TreeItem, node: Node): vscode.TreeItem {
    if (node.vm !== undefined) {
      const vm = this.services.vms.get(node.vm);
      if (vm) item.tooltip = vmTooltip(vm, Date.now());
      return item;
    }
    const { host: id } = node;
    const host = this.services.hosts.get(id);
    if (host) item.tooltip = this.#tooltip(host, this.#status.get(id));
    return item;
  }

  #isAdded(id: string): boolean {
    return this.services.addedHosts().some(({ name }) => `ssh:${name}` === id);
  }

  #tooltip(host: Host, status: HostStatus | undefined): vscode.MarkdownString {
    const text = new vscode.MarkdownString();
    text.appendMarkdown('**');
    text.appendText(host.label);
    text.appendMarkdown('**\n\n');
    if (host.state.kind === 'failed') text.appendText(host.state.message);
    else if (host.id !== 'local' && !status)
      text.appendText(l10n.t('Nothing connects until you ask: connect, or start a run.'));
    for (const [name, value] of status ? hostDetails(status) : []) {
      text.appendText(`${name}: ${value}`);
      text.appendMarkdown('  \n');
    }
    return text;
  }

  #hostNode(id: string): Node {
    const host = this.services.hosts.get(id);
    if (host) this.#listen(host);
    return this.#node(id, { host: id });
  }

  #vmNode(key: string): Node {
    return this.#node(VM_PREFIX + key, { vm: key });
  }

  #node(key: string, fresh: Node): Node {
    const node = this.#nodes.get(key) ?? fresh;
    this.#nodes.set(key, node);
    return node;
  }

  /** Costs and times go on; rows that come or go are another matter. */
  #drawVms(): void {
    const all = this.services.vms.list();
    if (shapeOf(all) !== this.#listedVms) this.#changed.fire(undefined);
    else for (const vm of all) this.#draw(VM_PREFIX + vmKey(vm));
  }

  #listen(host: Host): void {
    const known = this.#listening.get(host.id);
    if (known?.host === host) return;
    known?.dispose();
    const subscription = host.onDidChangeState(() => this.#draw(host.id));
    this.#listening.set(host.id, { host, dispose: () => subscription.dispose() });
  }

  /** @param id a host's, or a VM's key behind its prefix */
  #draw(id: string): void {
    const node = this.#nodes.get(id);
    if (!node) return;
    // To draw it anew takes its hover away.
    const { label, description, contextValue } = this.getTreeItem(node);
    const look = [label, description, contextValue].join('\n');
    if (this.#drawn.get(id) === look) return;
    this.#drawn.set(id, look);
    this.#changed.fire(node);
  }
}

const VM_PREFIX = 'vm ';

const shapeOf = (vms: readonly VmView[]): string => vms.map((vm) => `${vmKey(vm)} ${vm.host ?? ''}`).join('\n');

function icon(id: string, state: string): vscode.ThemeIcon {
  if (id === 'local') return new vscode.ThemeIcon('device-desktop');
  switch (state) {
    case 'connected':
      return new vscode.ThemeIcon('vm-active', new vscode.ThemeColor('testing.iconPassed'));
    case 'connecting':
      return new vscode.ThemeIcon('sync~spin');
    case 'failed':
      return new vscode.ThemeIcon('error', new vscode.ThemeColor('testing.iconFailed'));
    default:
      return new vscode.ThemeIcon('vm-outline');
  }
}
