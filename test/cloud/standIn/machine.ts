/** A VM from the outside: its resource, its states, its time limit, and what it has used. */
import { billOf, type Used } from './bill';
import { regionOf } from './catalog';
import type { StandInClock } from './clock';
import type { Guest } from './guest';

export interface Scheduling {
  onHostMaintenance?: string;
  automaticRestart?: boolean;
  provisioningModel?: string;
  instanceTerminationAction?: string;
  maxRunDuration?: { seconds?: string | number };
  terminationTime?: string;
  preemptible?: boolean;
}

export interface Disk {
  id: string;
  name: string;
  zone: string;
  sizeGb: number;
  type: string;
  labels: Record<string, string>;
  created: number;
  user?: string;
}

export type Status = 'PROVISIONING' | 'STAGING' | 'RUNNING' | 'STOPPING' | 'TERMINATED';

export interface MachineOptions {
  id: string;
  project: string;
  zone: string;
  name: string;
  machineType: string;
  gpu: { type: string; count: number } | undefined;
  /** Of an n1 machine. */
  accelerator: { type: string; count: number } | undefined;
  scheduling: Scheduling;
  labels: Record<string, string>;
  items: { key: string; value: string }[];
  external: boolean;
  serviceAccount: { email: string; scopes: string[] } | undefined;
  disk: Disk;
  autoDelete: boolean;
}

export class Machine {
  status: Status = 'PROVISIONING';
  readonly created: number;
  lastStart: number | undefined;
  lastStop: number | undefined;
  address = '';
  isPreempted = false;
  isDeleted = false;
  /** The driver stays on the disk. */
  hasDriver = false;
  fingerprint = 1;
  labelFingerprint = 1;
  guest!: Guest;
  /** Takes the time limit back. */
  cancelLimit: (() => void) | undefined;
  deletedAt: number | undefined;
  /** It boots, or gets its driver. */
  busy: Promise<void> = Promise.resolve();
  readonly running: { from: number; to?: number }[] = [];

  constructor(
    readonly options: MachineOptions,
    private readonly clock: StandInClock,
    private readonly link: (path: string) => string,
  ) {
    this.created = clock.now();
  }

  get key(): string {
    const { project, zone, name } = this.options;
    return `${project}/${zone}/${name}`;
  }

  get path(): string {
    const { project, zone, name } = this.options;
    return `projects/${project}/zones/${zone}/instances/${name}`;
  }

  get isSpot(): boolean {
    return this.options.scheduling.provisioningModel === 'SPOT';
  }

  get attributes(): Record<string, string> {
    return Object.fromEntries(this.options.items.map(({ key, value }) => [key, value]));
  }

  /** When Google ends it. */
  get limit(): number | undefined {
    const { maxRunDuration, terminationTime } = this.options.scheduling;
    if (terminationTime) return Date.parse(terminationTime);
    const seconds = Number(maxRunDuration?.seconds ?? 0);
    return seconds > 0 && this.lastStart !== undefined ? this.lastStart + seconds * 1000 : undefined;
  }

  began(): void {
    this.lastStart = this.clock.now();
    this.running.push({ from: this.lastStart });
  }

  ended(): void {
    const last = this.running.at(-1);
    if (last && last.to === undefined) last.to = this.clock.now();
    this.lastStop = this.clock.now();
  }

  /** Millionths of a US dollar so far. */
  bill(): number {
    const { machineType, accelerator, zone, external, disk } = this.options;
    const used: Used = {
      machine: accelerator ? `${machineType}+${accelerator.count}x${accelerator.type}` : machineType,
      region: regionOf(zone),
      spot: this.isSpot,
      running: this.running,
      external,
      disk: {
        gb: disk.sizeGb,
        type: disk.type,
        from: disk.created,
        ...(this.deletedAt !== undefined && { to: this.deletedAt }),
      },
    };
    return billOf(used, this.clock.now());
  }

  resource(): Record<string, unknown> {
    const { id, project, zone, name, machineType, accelerator, scheduling, labels, items, external, disk } =
      this.options;
    const link = (path: string) => this.link(`projects/${project}/${path}`);
    const time = (ms: number) => new Date(ms).toISOString();
    const limit = this.status === 'RUNNING' ? this.limit : undefined;
    return {
      kind: 'compute#instance',
      id,
      name,
      creationTimestamp: time(this.created),
      ...(this.lastStart !== undefined && { lastStartTimestamp: time(this.lastStart) }),
      ...(this.lastStop !== undefined && { lastStopTimestamp: time(this.lastStop) }),
      status: this.status,
      zone: link(`zones/${zone}`),
      machineType: link(`zones/${zone}/machineTypes/${machineType}`),
      labels,
      labelFingerprint: fingerprint(this.labelFingerprint),
      metadata: { kind: 'compute#metadata', fingerprint: fingerprint(this.fingerprint), items },
      scheduling: {
        ...scheduling,
        ...(scheduling.maxRunDuration && {
          maxRunDuration: { seconds: String(scheduling.maxRunDuration.seconds ?? 0) },
        }),
        preemptible: this.isSpot,
      },
      ...(limit !== undefined && { resourceStatus: { scheduling: { terminationTimestamp: time(limit) } } }),
      disks: [
        {
          kind: 'compute#attachedDisk',
          type: 'PERSISTENT',
          mode: 'READ_WRITE',
          source: link(`zones/${zone}/disks/${disk.name}`),
          deviceName: 'persistent-disk-0',
          index: 0,
          boot: true,
          autoDelete: this.options.autoDelete,
          diskSizeGb: String(disk.sizeGb),
        },
      ],
      networkInterfaces: [
        {
          kind: 'compute#networkInterface',
          name: 'nic0',
          network: link('global/networks/default'),
          ...(this.address && { networkIP: this.address }),
          ...(external && {
            accessConfigs: [
              {
                kind: 'compute#accessConfig',
                type: 'ONE_TO_ONE_NAT',
                name: 'External NAT',
                ...(this.address && this.status === 'RUNNING' && { natIP: this.address }),
              },
            ],
          }),
        },
      ],
      ...(accelerator && {
        guestAccelerators: [
          {
            acceleratorType: link(`zones/${zone}/acceleratorTypes/${accelerator.type}`),
            acceleratorCount: accelerator.count,
          },
        ],
      }),
      ...(this.options.serviceAccount && { serviceAccounts: [this.options.serviceAccount] }),
      selfLink: link(`zones/${zone}/instances/${name}`),
    };
  }
}

/** Eight bytes in base64, as Google's. */
export const fingerprint = (version: number): string => Buffer.from(`v${version}`.padEnd(8, '.')).toString('base64');
