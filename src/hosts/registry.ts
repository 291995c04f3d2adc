/** The hosts of this machine's user: this machine, those of the SSH configuration, those added by hand, and VMs. */
import { type FSWatcher, watch } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join, sep } from 'node:path';
import type { VmSsh } from '@protocol/cloud';
import { TuneyardError } from '@protocol/errors';
import * as l10n from '@vscode/l10n';
import { type Disposable, Emitter, type Event } from 'vscode-jsonrpc';
import type { Host, HostPrompts } from './host';
import type { AddedHost, Hosts } from './hosts';
import { LocalHost } from './local';
import { SshConfig } from './ssh/sshConfig';
import { SshHost, type SshHostOptions } from './ssh/sshHost';
import { routeTo, type SshOverrides } from './ssh/sshSettings';
import { vmSettings } from './ssh/vmSettings';

export interface HostRegistryOptions {
  prompts: HostPrompts;
  /** Where hosts added by hand are kept. */
  added: { get(): readonly AddedHost[]; set(hosts: readonly AddedHost[]): PromiseLike<void> };
  /** VMs that can be reached; they come and go by themselves, and the SSH configuration knows nothing of them. */
  vmHosts?: { list(): readonly VmSsh[]; readonly onDidChange: Event<void> };
  /** Default: the user's file, then the system's. */
  sshConfigPaths?: readonly string[];
  /** In place of the user's home directory. */
  home?: string;
  /** A line of the configuration that cannot be read: each is told once. */
  onProblem?(problem: TuneyardError): void;
  log?(text: string): void;
  /** For every SSH host. */
  ssh?: Pick<SshHostOptions, 'retry' | 'stallMs'>;
}

/** Editors write a file in several steps. */
const SETTLE_MS = 200;

export class HostRegistry implements Hosts, Disposable {
  readonly #local: LocalHost;
  readonly #home: string;
  readonly #paths: readonly string[];
  readonly #ssh = new Map<string, SshHost>();
  readonly #watchers = new Map<string, FSWatcher>();
  readonly #told = new Set<string>();
  readonly #changed = new Emitter<void>();
  #config: SshConfig | undefined;
  #listed: readonly Host[] | undefined;
  #timer: NodeJS.Timeout | undefined;
  #disposed = false;
  readonly #vmChanges: Disposable | undefined;

  constructor(private readonly options: HostRegistryOptions) {
    this.#local = new LocalHost(options.home);
    this.#home = options.home ?? homedir();
    this.#paths = options.sshConfigPaths ?? [join(this.#home, '.ssh', 'config'), '/etc/ssh/ssh_config'];
    this.#vmChanges = options.vmHosts?.onDidChange(() => this.#refresh());
  }

  get onDidChange(): Event<void> {
    return this.#changed.event;
  }

  list(): readonly Host[] {
    this.#listed ??= this.#collect();
    return this.#listed;
  }

  get(id: string): Host | undefined {
    return this.list().find((host) => host.id === id);
  }

  async add(host: AddedHost): Promise<Host> {
    const id = `ssh:${host.name}`;
    if (host.name.trim() === '' || host.hostName.trim() === '') {
      throw new TuneyardError('usage', l10n.t('A host needs a name and an address.'));
    }
    if (this.get(id)) {
      throw new TuneyardError('usage', l10n.t('There is a host named {0} already: choose another name.', host.name));
    }
    await this.options.added.set([...this.options.added.get(), host]);
    this.#refresh();
    return this.get(id) as Host;
  }

  async remove(id: string): Promise<void> {
    const added = this.options.added.get();
    const left = added.filter(({ name }) => `ssh:${name}` !== id);
    if (left.length === added.length) {
      throw new TuneyardError(
        'usage',
        this.#vm(id.replace(/^ssh:/, ''))
          ? l10n.t('{0} is a VM: delete the VM, and it is gone here too.', id)
          : l10n.t('Only hosts that were added by hand can be removed; {0} is not one.', id),
      );
    }
    await this.options.added.set(left);
    this.#refresh();
  }

  dispose(): void {
    this.#disposed = true;
    this.#vmChanges?.dispose();
    clearTimeout(this.#timer);
    for (const watcher of this.#watchers.values()) watcher.close();
    for (const host of this.#ssh.values()) host.dispose();
    this.#local.dispose();
    this.#changed.dispose();
  }

  #collect(): readonly Host[] {
    const config = this.#readConfig();
    const added = this.options.added.get();
    const vms = this.options.vmHosts?.list() ?? [];
    const names = [...new Set([...config.aliases(), ...added.map(({ name }) => name), ...vms.map(({ name }) => name)])];
    for (const [name, host] of this.#ssh) {
      if (names.includes(name)) continue;
      this.#ssh.delete(name);
      host.dispose();
    }
    return [this.#local, ...names.map((name) => this.#host(name))];
  }

  /** The same object as long as the name is there: what is connected stays connected. */
  #host(name: string): SshHost {
    const known = this.#ssh.get(name);
    if (known) return known;
    const { prompts, log, ssh } = this.options;
    const host = new SshHost({ ...ssh, name, prompts, log, route: () => this.#routeTo(name) });
    this.#ssh.set(name, host);
    return host;
  }

  #vm(name: string): VmSsh | undefined {
    return this.options.vmHosts?.list().find((vm) => vm.name === name);
  }

  #routeTo(name: string) {
    const vm = this.#vm(name);
    if (vm) return [vmSettings(vm)];
    const config = this.#readConfig();
    const added = this.options.added.get().find((each) => each.name === name);
    if (added === undefined || config.aliases().includes(name)) return routeTo(config, this.#home, name);
    const { hostName, user, port, identityFile } = added;
    const overrides: SshOverrides = { user, port, identityFile };
    // What the configuration says of the address holds, as it does for `ssh ADDRESS`
    const route = routeTo(config, this.#home, hostName, overrides);
    return route.map((each, index) => (index === route.length - 1 ? { ...each, alias: name } : each));
  }

  #readConfig(): SshConfig {
    if (this.#config) return this.#config;
    const config = new SshConfig(this.#paths, this.#home);
    this.#config = config;
    for (const problem of config.problems) {
      if (this.#told.has(problem.message)) continue;
      this.#told.add(problem.message);
      this.options.onProblem?.(problem);
    }
    this.#watch(config.files);
    return config;
  }

  /** Folders, not files: editors put new files in their place. */
  #watch(files: ReadonlySet<string>): void {
    if (this.#disposed) return;
    const folders = new Set([...files].map((file) => (file.endsWith(sep) ? file : dirname(file))));
    for (const [folder, watcher] of this.#watchers) {
      if (folders.has(folder)) continue;
      watcher.close();
      this.#watchers.delete(folder);
    }
    for (const folder of folders) {
      if (this.#watchers.has(folder)) continue;
      try {
        const watcher = watch(folder, { persistent: false }, () => this.#refreshSoon());
        watcher.on('error', () => watcher.close());
        this.#watchers.set(folder, watcher);
      } catch {
        // No such folder: then there is nothing in it
      }
    }
  }

  #refreshSoon(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#refresh(), SETTLE_MS);
  }

  #refresh(): void {
    if (this.#disposed) return;
    const before = this.#listed;
    this.#config = undefined;
    this.#listed = undefined;
    const now = this.list();
    const same = before?.length === now.length && before.every((host, index) => host === now[index]);
    if (!same) this.#changed.fire();
  }
}
