/**
 * All that can be done with VMs, for the command line and for the extension alike. Any number of processes may do it at once:
 * the record on disk is what they share.
 */
import type {
  CloudIdentity,
  CreateVm,
  MachineOffer,
  OfferQuery,
  Reconciliation,
  VmDeletion,
  VmProgress,
  VmSsh,
  VmView,
} from '@protocol/cloud';
import { TuneyardError } from '@protocol/errors';
import * as l10n from '@vscode/l10n';
import { type Disposable, Emitter, type Event } from 'vscode-jsonrpc';
import { extend, start, stop } from './extend';
import { accountName, sshOf } from './keys';
import { Ledger } from './ledger';
import { type Life, realSleep } from './life';
import type { CloudProvider } from './provider';
import { carryOut, plan } from './provision';
import { adopt, keepsDisk, reconcile, refresh } from './reconcile';
import { recover } from './recover';
import { removeAll } from './remove';
import { resumeElsewhere } from './resumeElsewhere';
import { asLabel, costOf, type VmOrigin, type VmRecord, viewOf } from './vmRecord';

export interface CloudServiceOptions
  extends Partial<Pick<Life, 'now' | 'sleep' | 'log' | 'sshPort' | 'tunnel' | 'prices' | 'runner'>> {
  provider: CloudProvider;
  /** `~/.tuneyard`; see `tuneyardHome`. */
  home: string;
  /** Of this version of Tuneyard: a label. */
  version: string;
  /** Account on a VM. Default: this user's name, as gcloud has it. */
  user?: string;
}

/** How often a creation looks whether somebody wants it gone. */
const WISH_MS = 300;

export class CloudService implements Disposable {
  readonly #life: Life;
  readonly #ledger: Ledger;
  readonly #changed = new Emitter<VmView[]>();
  readonly #progress = new Emitter<VmProgress>();
  #watch: Disposable | undefined;

  constructor(private readonly options: CloudServiceOptions) {
    this.#ledger = new Ledger(options.home);
    const { provider, version, now = Date.now, sleep = realSleep, log = () => {}, user = accountName() } = options;
    this.#life = {
      ...options,
      provider,
      version,
      now,
      sleep,
      log,
      user,
      ledger: this.#ledger,
      save: (record) => this.#ledger.write(record),
      tell: (record, stage, text) => {
        const seconds = Math.round((now() - (record.stage_since ?? now())) / 1000);
        this.#progress.fire({ vm: record.name, stage, text, seconds });
        log(text);
      },
    };
  }

  /** The whole list, whenever this or another process has changed one. */
  get onDidChange(): Event<VmView[]> {
    this.#watch ??= this.#ledger.watch(
      () => void this.list({ refresh: false }).then((views) => this.#changed.fire(views)),
    );
    return this.#changed.event;
  }

  get onDidProgress(): Event<VmProgress> {
    return this.#progress.event;
  }

  async identity(signal?: AbortSignal): Promise<CloudIdentity> {
    return this.options.provider.identity(signal);
  }

  /** What the label `tuneyard-owner` of VMs says that these credentials make. */
  async owner(signal?: AbortSignal): Promise<string> {
    const { account } = await this.identity(signal);
    return asLabel(account ?? this.#life.user);
  }

  async offers(query: OfferQuery, signal?: AbortSignal): Promise<MachineOffer[]> {
    return this.options.provider.offers(query, signal);
  }

  async create(
    confirmed: CreateVm,
    { signal, origin }: { signal?: AbortSignal; origin?: VmOrigin } = {},
  ): Promise<VmView> {
    const name = confirmed.name;
    if (name !== undefined && (await this.#ledger.get(name))) throw taken(name);
    const record = await plan(this.#life, confirmed, { ...(origin && { origin }), ...(signal && { signal }) });
    const lock = await this.#ledger.tryLock(record.key);
    if (!lock) throw taken(record.name);
    const wish = new AbortController();
    const look = setInterval(async () => {
      if (await this.#ledger.isWishedGone(record.key)) wish.abort(deletedMeanwhile(record.name));
    }, WISH_MS);
    try {
      await this.#ledger.create(record);
      await carryOut(this.#life, record, AbortSignal.any(signal ? [signal, wish.signal] : [wish.signal]));
      return this.#view(record);
    } finally {
      clearInterval(look);
      await lock.release();
    }
  }

  /** Those that are there, or are to be. */
  async list({ refresh: isAsked }: { refresh: boolean }, signal?: AbortSignal): Promise<VmView[]> {
    const records = (await this.#ledger.list()).filter(({ ended }) => !ended);
    if (!isAsked) return records.map((record) => this.#view(record));
    const views = await Promise.all(
      records.map(async (record) => {
        try {
          const now = await refresh(this.#life, record.key, signal);
          return now && !now.ended ? this.#view(now) : undefined;
        } catch (error) {
          signal?.throwIfAborted();
          // What is known is shown, and why it is not newer
          const problem = error instanceof Error ? error.message : String(error);
          return { ...this.#view(record), problem };
        }
      }),
    );
    return views.filter((view) => view !== undefined);
  }

  /** Those that are gone, newest first: what they have cost. */
  async history(): Promise<VmView[]> {
    return (await this.#ledger.history()).map((record) => this.#view(record));
  }

  async ssh(vm: string): Promise<VmSsh> {
    const record = await this.#known(vm);
    const ssh = record.reached
      ? sshOf(this.#ledger, record, { port: this.#life.sshPort, tunnel: this.#life.tunnel })
      : undefined;
    if (ssh) return ssh;
    throw new TuneyardError('cloud_invalid', l10n.t('{0} cannot be reached yet: wait until it is ready.', vm), {
      data: { reason: 'not_ready' },
    });
  }

  /** @param seconds from now */
  async extend(
    vm: string,
    seconds: number,
    { restart, signal }: { restart?: boolean; signal?: AbortSignal } = {},
  ): Promise<VmView> {
    return this.#with(vm, (record) => extend(this.#life, record, { seconds, restart, signal }), signal);
  }

  async stop(vm: string, signal?: AbortSignal): Promise<VmView> {
    return this.#with(vm, (record) => stop(this.#life, record, signal), signal);
  }

  async start(vm: string, signal?: AbortSignal): Promise<VmView> {
    return this.#with(vm, (record) => start(this.#life, record, signal), signal);
  }

  /** See `vm/resumeElsewhere`. */
  async resumeElsewhere({ vm, zones }: { vm: string; zones?: string[] }, signal?: AbortSignal): Promise<VmView> {
    return resumeElsewhere(this.#life, { vm, zones, create: (...wish) => this.create(...wish) }, signal);
  }

  /** `project` and `zone` where it is not known here. One whose creation goes on is not made any more. */
  async delete(
    { vm, project, zone }: { vm: string; project?: string; zone?: string },
    signal?: AbortSignal,
  ): Promise<VmDeletion> {
    const known = await this.#ledger.get(vm);
    const isMeant =
      known && (project === undefined || known.project === project) && (!zone || !known.zone || known.zone === zone);
    const { key, id } = isMeant ? known : await this.#adopt(vm, project, zone, signal);
    await this.#ledger.wishGone(key);
    const lock = await this.#ledger.lock(key, { ...(signal && { signal }) });
    try {
      const record = await this.#ledger.get(key);
      if (record?.id !== id) return await this.#asDeleted(id, vm);
      return await removeAll(this.#life, record, {
        how: 'deleted',
        keep: keepsDisk(record),
        ...(signal && { signal }),
      });
    } finally {
      await lock.release();
    }
  }

  /** @param projects default: those that VMs here are or were in, and that of the credentials */
  async reconcile(projects?: readonly string[], signal?: AbortSignal): Promise<Reconciliation> {
    const records = [...(await this.#ledger.list()), ...(await this.#ledger.history())];
    const all = new Set([...(projects ?? []), ...records.map(({ project }) => project)]);
    if (projects === undefined) {
      const { project } = await this.identity(signal);
      if (project) all.add(project);
    }
    return reconcile(this.#life, [...all], signal);
  }

  async recover(signal?: AbortSignal): Promise<VmView[]> {
    return (await recover(this.#life, signal)).map((record) => this.#view(record));
  }

  dispose(): void {
    this.#watch?.dispose();
    this.#changed.dispose();
    this.#progress.dispose();
  }

  #view(record: VmRecord): VmView {
    return viewOf(record, this.#life.now());
  }

  async #known(vm: string): Promise<VmRecord> {
    const record = await this.#ledger.get(vm);
    if (record && !record.ended) return record;
    throw new TuneyardError('vm_not_found', l10n.t('No VM named {0} is known here.', vm));
  }

  async #with(vm: string, work: (record: VmRecord) => Promise<void>, signal?: AbortSignal): Promise<VmView> {
    const { key } = await this.#known(vm);
    const lock = await this.#ledger.lock(key, { ...(signal && { signal }) });
    try {
      const record = await this.#known(vm);
      await work(record);
      return this.#view(record);
    } finally {
      await lock.release();
    }
  }

  /** One that another machine made: only what bears the label is touched. */
  async #adopt(
    vm: string,
    project: string | undefined,
    zone: string | undefined,
    signal?: AbortSignal,
  ): Promise<VmRecord> {
    const where = project ?? (await this.identity(signal)).project;
    const listed = where ? await this.options.provider.list(where, { tuneyard: 'vm' }, signal) : [];
    const found = listed.filter((each) => each.name === vm && (!zone || each.zone === zone));
    if (found.length !== 1 || !found[0]) {
      const sentence =
        found.length > 1
          ? l10n.t('There are several VMs named {0} in project {1}: name the zone.', vm, where ?? '')
          : l10n.t('There is no VM named {0} of Tuneyard in project {1}.', vm, where ?? '—');
      throw new TuneyardError('vm_not_found', sentence);
    }
    const record = adopt(this.#life, found[0]);
    await this.#ledger.create(record).catch((error: unknown) => {
      // Its deletion was broken off before
      if (!(error instanceof TuneyardError && error.data.reason === 'exists')) throw error;
    });
    return (await this.#ledger.get(record.key)) ?? record;
  }

  /** Somebody else, who was waited for, has deleted it. */
  async #asDeleted(id: string, vm: string): Promise<VmDeletion> {
    const record = (await this.#ledger.history()).find((each) => each.id === id);
    if (!record?.ended) throw new TuneyardError('vm_not_found', l10n.t('No VM named {0} is known here.', vm));
    const cost = costOf(record, this.#life.now());
    const { project, ended } = record;
    return {
      vm,
      project,
      verified: ended.verified,
      kept: ended.kept,
      ...(cost && { cost: { usd: cost.micro_usd / 1e6 } }),
    };
  }
}

const taken = (name: string) =>
  new TuneyardError('usage', l10n.t('There is a VM named {0} already: choose another name.', name), {
    data: { reason: 'exists' },
  });

const deletedMeanwhile = (name: string) =>
  new TuneyardError('cancelled', l10n.t('{0} was deleted while it was being made.', name));
