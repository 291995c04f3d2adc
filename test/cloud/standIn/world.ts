/** What there is: projects with their quotas, VMs, disks and snapshots, and what becomes of them as time goes by. */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { ACCELERATORS, gpuMetric, MACHINE_TYPES, regionOf, ZONES } from './catalog';
import type { StandInClock } from './clock';
import { type OperationError, outOfStock, overQuota } from './faults';
import { Guest } from './guest';
import { type Disk, Machine, type MachineOptions } from './machine';
import { Operations } from './operations';
import { OsLoginStandIn } from './osLogin';

export interface Snapshot {
  id: string;
  name: string;
  project: string;
  labels: Record<string, string>;
  created: number;
  sourceDisk: string;
  sizeGb: number;
  /** Copy of the home. */
  folder: string;
}

export interface Project {
  id: string;
  number: string;
  /** Limits by metric, of the whole project and by region. */
  quotas: Map<string, number>;
  regionQuotas: Map<string, Map<string, number>>;
  items: { key: string; value: string }[];
  hasBilling: boolean;
  hasApi: boolean;
  /** A policy: `enable-oslogin` may not be FALSE. */
  requiresOsLogin: boolean;
  /** Permissions that its users lack: `compute.instances.create`. */
  lacks: Set<string>;
  defaultServiceAccount: string;
}

export interface WorldOptions {
  dir: string;
  clock: StandInClock;
  endpoint(): string;
  sshPort: number;
  /** Milliseconds of the clock: an operation, a boot, the driver's installation. */
  operationMs: number;
  bootMs: number;
  driverMs: number;
  /** Tokens of VMs. */
  newToken(account: string): { access_token: string; expires_in: number };
}

const GRACE_MS = 30_000;
const DEFAULT_REGIONAL: Record<string, number> = {
  CPUS: 2400,
  NVIDIA_L4_GPUS: 16,
  PREEMPTIBLE_NVIDIA_L4_GPUS: 16,
  NVIDIA_T4_GPUS: 8,
  PREEMPTIBLE_NVIDIA_T4_GPUS: 8,
  NVIDIA_V100_GPUS: 8,
  PREEMPTIBLE_NVIDIA_V100_GPUS: 8,
  NVIDIA_A100_GPUS: 16,
  PREEMPTIBLE_NVIDIA_A100_GPUS: 16,
  NVIDIA_H100_GPUS: 8,
  PREEMPTIBLE_NVIDIA_H100_GPUS: 8,
};

export class World {
  readonly projects = new Map<string, Project>();
  /** Living ones by project/zone/name; all that ever were, in `history`. */
  readonly machines = new Map<string, Machine>();
  readonly history: Machine[] = [];
  readonly disks = new Map<string, Disk & { project: string }>();
  readonly snapshots = new Map<string, Snapshot>();
  readonly operations: Operations;
  /** VMs that run ask anew at each login. */
  readonly osLogin: OsLoginStandIn;
  /** VMs that are left of a type in a zone; absent: enough. */
  readonly stock = new Map<string, number>();
  /** Buckets and the like, that stand in elsewhere, are told of nothing. */
  #nextId = 1_000_000_000_000_000_000n;
  #nextAddress = 1;

  constructor(readonly options: WorldOptions) {
    this.operations = new Operations(
      options.clock,
      (path) => this.link(path),
      () => options.operationMs,
    );
    const running = () => [...this.machines.values()].filter(({ status }) => status === 'RUNNING');
    this.osLogin = new OsLoginStandIn(options.clock, () =>
      Promise.all(running().map(({ guest }) => guest.writeKeys())),
    );
  }

  readonly link = (path: string): string => `https://www.googleapis.com/compute/v1/${path}`;

  id(): string {
    return String(this.#nextId++);
  }

  addProject(id: string): Project {
    const number = String(100_000_000_000 + this.projects.size);
    const project: Project = {
      id,
      number,
      quotas: new Map([
        ['GPUS_ALL_REGIONS', 16],
        ['CPUS_ALL_REGIONS', 4800],
        ['SNAPSHOTS', 5000],
      ]),
      regionQuotas: new Map(Object.keys(ZONES).map((region) => [region, new Map(Object.entries(DEFAULT_REGIONAL))])),
      items: [],
      hasBilling: true,
      hasApi: true,
      requiresOsLogin: false,
      lacks: new Set(),
      defaultServiceAccount: `${number}-compute@developer.gserviceaccount.com`,
    };
    this.projects.set(id, project);
    return project;
  }

  machinesOf(project: string): Machine[] {
    return [...this.machines.values()].filter((machine) => machine.options.project === project);
  }

  /** GPUs or cores in use, of what is not stopped. */
  usage(project: string, metric: string, region?: string): number {
    let sum = 0;
    for (const machine of this.machinesOf(project)) {
      const { zone, gpu, machineType } = machine.options;
      if (machine.status === 'TERMINATED' || (region !== undefined && regionOf(zone) !== region)) continue;
      if (/^CPUS/.test(metric)) sum += MACHINE_TYPES.find(({ name }) => name === machineType)!.cpus;
      else if (gpu && (metric === 'GPUS_ALL_REGIONS' || metric === gpuMetric(gpu.type, machine.isSpot)))
        sum += gpu.count;
    }
    return sum;
  }

  /** Why a VM cannot be had now, in the words of an operation's error. */
  refusal(options: MachineOptions, isSpot: boolean): OperationError | undefined {
    const { project, zone, machineType, gpu } = options;
    const { quotas, regionQuotas } = this.projects.get(project)!;
    const region = regionOf(zone);
    if (gpu) {
      // This one is counted already.
      const all = quotas.get('GPUS_ALL_REGIONS') ?? 0;
      if (this.usage(project, 'GPUS_ALL_REGIONS') > all) return overQuota('GPUS_ALL_REGIONS', all, 'global');
      const metric = gpuMetric(gpu.type, isSpot);
      const limit = regionQuotas.get(region)?.get(metric) ?? 0;
      if (this.usage(project, metric, region) > limit) return overQuota(metric, limit, region);
    }
    const left = this.stock.get(`${zone} ${machineType}`);
    if (left === 0) return outOfStock(project, zone, machineType, machineType.startsWith('a'));
    if (left !== undefined) this.stock.set(`${zone} ${machineType}`, left - 1);
    return undefined;
  }

  /** Accepted; the operation's work goes on with {@link boot}. */
  add(options: MachineOptions): Machine {
    const machine = new Machine(options, this.options.clock, this.link);
    this.machines.set(machine.key, machine);
    this.history.push(machine);
    this.disks.set(`${options.project}/${options.zone}/${options.disk.name}`, {
      ...options.disk,
      project: options.project,
      user: machine.path,
    });
    machine.guest = new Guest({
      dir: join(this.options.dir, `${options.name}-${options.id}`),
      name: options.name,
      sshPort: this.options.sshPort,
      endpoint: this.options.endpoint(),
      gpu: options.gpu,
      source: {
        instance: () => ({ project: options.project, zone: options.zone, name: options.name, id: options.id }),
        attributes: () => machine.attributes,
        preempted: () => machine.isPreempted,
        maintenanceEvent: () => 'NONE',
        serviceAccount: () => options.serviceAccount,
        token: () => this.options.newToken(options.serviceAccount?.email ?? ''),
        setGuestAttribute: (namespace, key, value) => {
          if (machine.attributes['enable-guest-attributes']?.toUpperCase() !== 'TRUE') return false;
          machine.guest.attributes.set(`${namespace}/${key}`, value);
          return true;
        },
      },
      onPowerOff: () => void this.stop(machine, 'compute.instances.guestTerminate'),
    });
    machine.guest.loginKeys = () => {
      const items = [...this.projects.get(options.project)!.items, ...machine.options.items];
      const isOn = items.findLast(({ key }) => key === 'enable-oslogin')?.value.toUpperCase() === 'TRUE';
      return isOn ? this.osLogin.allowed() : undefined;
    };
    machine.guest.isAhead = (time) => Date.parse(time) > this.options.clock.now();
    return machine;
  }

  /** It came to nothing: not even a disk is left. */
  forget(machine: Machine): void {
    const { project, zone, disk } = machine.options;
    this.machines.delete(machine.key);
    this.disks.delete(`${project}/${zone}/${disk.name}`);
    machine.isDeleted = true;
    machine.deletedAt = machine.created;
  }

  async boot(machine: Machine): Promise<void> {
    const { clock, bootMs, driverMs } = this.options;
    machine.status = 'RUNNING';
    machine.isPreempted = false;
    machine.address = this.#address();
    machine.began();
    this.#limit(machine);
    const address = machine.address;
    const isStill = () => machine.status === 'RUNNING' && machine.address === address;
    clock.at(clock.now() + bootMs, async () => {
      if (!isStill()) return;
      machine.busy = machine.guest.boot(address, { hasDriver: machine.hasDriver });
      await machine.busy;
      if (!isStill() || machine.hasDriver || machine.attributes['install-nvidia-driver']?.toLowerCase() !== 'true')
        return;
      clock.at(clock.now() + driverMs, async () => {
        if (!isStill()) return;
        machine.busy = machine.guest.installDriver().then(() => machine.guest.restartSshd());
        await machine.busy;
        machine.hasDriver = true;
      });
    });
  }

  /** The cloud's own doing, or a guest that has switched itself off: without an operation of a person's. */
  async stop(machine: Machine, type: string): Promise<void> {
    if (machine.status !== 'RUNNING') return;
    await this.shutDown(machine);
    const { project, zone, id } = machine.options;
    this.operations.note(project, zone, type, id, this.link(machine.path));
  }

  async shutDown(machine: Machine): Promise<void> {
    machine.status = 'STOPPING';
    machine.cancelLimit?.();
    await machine.busy;
    const limit = new AbortController();
    await machine.guest.shutDown(this.options.clock.sleep(GRACE_MS, limit.signal).catch(() => {}));
    limit.abort();
    machine.ended();
    machine.status = 'TERMINATED';
    machine.address = '';
  }

  async remove(machine: Machine): Promise<void> {
    if (machine.isDeleted) return;
    if (machine.status === 'RUNNING') await this.shutDown(machine);
    const { project, zone, disk, autoDelete } = machine.options;
    machine.isDeleted = true;
    if (autoDelete) {
      machine.deletedAt = this.options.clock.now();
      this.disks.delete(`${project}/${zone}/${disk.name}`);
      await machine.guest.removeDisk();
    } else {
      delete this.disks.get(`${project}/${zone}/${disk.name}`)?.user;
    }
    this.machines.delete(machine.key);
  }

  /** Thirty seconds' notice, then it is gone, or stopped. */
  async preempt(machine: Machine): Promise<void> {
    machine.isPreempted = true;
    machine.guest.metadata?.changed();
    machine.guest.print('Preempted');
    const { project, zone, id, scheduling } = machine.options;
    await this.stop(machine, 'compute.instances.preempted');
    if (scheduling.instanceTerminationAction !== 'DELETE') return;
    await this.remove(machine);
    this.operations.note(project, zone, 'compute.instances.deletedAfterPreemption', id, this.link(machine.path));
  }

  async close(): Promise<void> {
    for (const machine of this.machines.values()) {
      machine.cancelLimit?.();
      await machine.busy;
      if (machine.status === 'RUNNING') await machine.guest.shutDown(Promise.resolve());
    }
    await rm(this.options.dir, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
  }

  #limit(machine: Machine): void {
    machine.cancelLimit?.();
    const { limit } = machine;
    if (limit === undefined) return;
    machine.cancelLimit = this.options.clock.at(limit, async () => {
      const { project, zone, id, scheduling } = machine.options;
      await this.stop(machine, 'compute.instances.scheduledTermination');
      if (scheduling.instanceTerminationAction !== 'DELETE') return;
      await this.remove(machine);
      this.operations.note(project, zone, 'compute.instances.deletedByTerminationAction', id, this.link(machine.path));
    });
  }

  /** Each start has another one, in 127.0.0.0/8, which is this machine as a whole. */
  #address(): string {
    const n = this.#nextAddress++;
    return `127.${91 + (process.pid % 64)}.${(n >> 8) & 255}.${n & 255}`;
  }
}

/** How many of an accelerator an n1 machine may have in a zone. */
export const mostOf = (type: string, zone: string): number =>
  ACCELERATORS[type]?.zones.includes(zone) ? ACCELERATORS[type].most : 0;
