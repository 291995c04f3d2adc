/** The VMs as the extension shows them: read from the record, whichever process writes it, without asking a cloud. */
import type { VmView } from '@protocol/cloud';
import { type Disposable, Emitter, type Event } from 'vscode-jsonrpc';
import { Ledger } from '../ledger';
import { type VmRecord, viewOf } from '../vmRecord';

export class Vms implements Disposable {
  readonly #ledger: Ledger;
  readonly #changed = new Emitter<void>();
  readonly #watch: Disposable;
  #records: VmRecord[] = [];
  #unknown: readonly VmView[] = [];

  /** @param home `~/.tuneyard` */
  constructor(home: string) {
    this.#ledger = new Ledger(home);
    this.#watch = this.#ledger.watch(() => void this.load());
  }

  get onDidChange(): Event<void> {
    return this.#changed.event;
  }

  async load(): Promise<void> {
    this.#records = (await this.#ledger.list()).filter(({ ended }) => !ended);
    this.#changed.fire();
  }

  /** Costs and times are those of this moment. Those made elsewhere come last. */
  list(): readonly VmView[] {
    const views = this.#records.map((record) => viewOf(record, Date.now()));
    const isNew = (vm: VmView) => !views.some((view) => vmKey(view) === vmKey(vm));
    return [...views, ...this.#unknown.filter(isNew)];
  }

  get(key: string): VmView | undefined {
    return this.list().find((vm) => vmKey(vm) === key);
  }

  /** Those that the cloud lists and nobody here has made. */
  setUnknown(vms: readonly VmView[]): void {
    this.#unknown = vms;
    this.#changed.fire();
  }

  forget(key: string): void {
    this.setUnknown(this.#unknown.filter((vm) => vmKey(vm) !== key));
  }

  /** Some creation, deletion, start or stop is in the record that nobody is at work on. */
  async isBrokenOff(): Promise<boolean> {
    for (const { key, doing } of await this.#ledger.list()) {
      if (doing && !(await this.#ledger.isBusy(key))) return true;
    }
    return false;
  }

  /** Whether there ever was one: who never had one is never asked about. */
  async isUsed(): Promise<boolean> {
    return this.#records.length > 0 || (await this.#ledger.history()).length > 0;
  }

  /** Projects in which VMs were made from here. */
  async projects(): Promise<string[]> {
    const all = [...this.#records].reverse().concat(await this.#ledger.history());
    return [...new Set(all.map(({ project }) => project))];
  }

  /** Whether its record is gone: it was deleted, and that was seen. */
  async isGone(name: string): Promise<boolean> {
    return (await this.#ledger.get(name)) === undefined;
  }

  dispose(): void {
    this.#watch.dispose();
    this.#changed.dispose();
  }
}

/** Names are unique in a project. */
export const vmKey = ({ name, project }: Pick<VmView, 'name' | 'project'>): string => `${project}/${name}`;
