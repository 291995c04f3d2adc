/**
 * What the extension and the program that speaks to clouds (`dist/cloud.cjs`, a child process) say to each other, and
 * what `tuneyard vm … --json` prints. The cloud's own library is heavy: only that program loads it, when it is needed.
 * Times are ISO 8601 in UTC; money is US dollars; names are Google's.
 */

export type ProvisioningModel = 'STANDARD' | 'SPOT';

/** Whose credentials are used, and where they were found. They themselves never leave the program that found them. */
export interface CloudIdentity {
  provider: 'gce';
  /** E-mail of the account, where the credentials say it. */
  account?: string;
  /** The project that gcloud's configuration, the environment or the key file names. */
  project?: string;
  /** `GOOGLE_APPLICATION_CREDENTIALS`, application-default credentials, a key file that was chosen. */
  source: string;
}

/** The GPUs that come with a machine type. */
export interface MachineGpu {
  /** Google's acceleratorType: `nvidia-l4`. */
  type: string;
  /** As a person calls it: `L4`. */
  name: string;
  count: number;
  /** Of one. */
  memory_bytes: number;
}

/** What an hour costs. Every figure has its source; where the table has none for a region, there is none. */
export interface HourlyPrice {
  usd_per_hour: number;
  /** GPU, CPU and memory; disk and address are in `disk_usd_per_hour`. */
  disk_usd_per_hour: number;
  region: string;
  /** Date of the table, or `settings` where a person has overridden it. */
  as_of: string;
  source: string;
}

/** One way to get a machine: a type with its GPUs, one provisioning model, one region. */
export interface MachineOffer {
  machine_type: string;
  cpus: number;
  memory_bytes: number;
  gpu: MachineGpu;
  provisioning_model: ProvisioningModel;
  region: string;
  /** Of this region, those that have the type. */
  zones: string[];
  /** Absent: not known for this region; the sentence says how to set it. */
  price?: HourlyPrice;
  price_missing?: string;
  /** Absent where the quotas allow it; else which one does not, and where to raise it. */
  quota?: QuotaShortage;
  /** GPU memory in all is enough for what was asked for. */
  fits: boolean;
}

export interface QuotaShortage {
  /** `GPUS_ALL_REGIONS`, `NVIDIA_L4_GPUS`, `PREEMPTIBLE_NVIDIA_L4_GPUS`, … */
  metric: string;
  region: string;
  limit: number;
  usage: number;
  needed: number;
  /** The page on which it is raised. */
  url: string;
}

export interface OfferQuery {
  project: string;
  /** In all GPUs together; from the recipe's estimate. */
  gpu_memory_bytes?: number;
  /** Only these regions; default all that have an offer. */
  regions?: string[];
  disk_gb?: number;
  disk_type?: string;
}

/** Where the results are before the VM may go. */
export type ArtifactSafety =
  /** Copied to a person's machine; the VM waits for that, at most until its time is up. */
  | { kind: 'fetch' }
  /** A snapshot of the boot disk is kept. */
  | { kind: 'snapshot' }
  /** Copied to `gs://BUCKET/VM/RUN/`. */
  | { kind: 'bucket'; bucket: string };

/** What a person has confirmed. */
export interface CreateVm {
  project: string;
  /** Default `tuneyard-` and three hex digits. */
  name?: string;
  machine_type: string;
  /** Only for n1, whose type does not say its GPUs: as the offer's `gpu` has it. */
  accelerator?: { type: string; count: number };
  /** In the order in which they are tried. */
  zones: string[];
  provisioning_model: ProvisioningModel;
  /** Default 200. */
  disk_gb?: number;
  /** Default `pd-balanced`. */
  disk_type?: string;
  /** Default: the current deep-learning image with NVIDIA's driver. */
  image_project?: string;
  image_family?: string;
  /** Google deletes the VM after so much time, whatever happens. 30 s to 120 days; default 12 h. */
  max_run_seconds?: number;
  /** The VM ends itself after so many minutes without a run and with idle GPUs. Default 30; 0: never. */
  idle_minutes?: number;
  idle_action?: 'delete' | 'stop';
  /** Ends itself when the last queued run has ended. */
  end_after_last_run?: boolean;
  artifacts?: ArtifactSafety;
  /** E-mail, `default`, or `none`. Default `none`; then the VM can stop but not delete itself before its time is up. */
  service_account?: string;
  network?: string;
  subnetwork?: string;
  /** Default `external`. */
  address?: 'external' | 'iap';
  /** The run it is made for. */
  run?: string;
}

/** What is done for a new VM, in this order; `stage_since` tells how long. */
export const VM_STAGES = [
  'checking',
  'creating',
  'booting',
  'host_key',
  'connecting',
  'driver',
  'installing',
  'ready',
] as const;
export type VmStage = (typeof VM_STAGES)[number];

/** Google's states, and those of a VM that is not there (yet, any more). */
export type VmState =
  | 'PLANNED'
  | 'PROVISIONING'
  | 'STAGING'
  | 'RUNNING'
  | 'STOPPING'
  | 'SUSPENDED'
  | 'TERMINATED'
  | 'DELETING'
  | 'DELETED'
  | 'FAILED';

/** A VM as it is shown. */
export interface VmView {
  /** Unique in a project. */
  name: string;
  provider: 'gce';
  project: string;
  zone?: string;
  state: VmState;
  /** While it is being made. */
  stage?: VmStage;
  stage_since?: string;
  machine_type: string;
  gpu?: MachineGpu;
  provisioning_model: ProvisioningModel;
  /** This installation made it and knows its key. False: found in the project by its labels. */
  known: boolean;
  /** The label `tuneyard-owner`. */
  owner?: string;
  created?: string;
  /** Running since; for uptime. */
  started?: string;
  /** When it is to end: it ends itself then, or is deleted. */
  delete_at?: string;
  /** When Google ends it whatever happens; up to then `delete_at` can be moved while it runs. */
  delete_at_latest?: string;
  /** Seconds without a run and with idle GPUs, as the VM last said. */
  idle_seconds?: number;
  idle_minutes?: number;
  /** What it has cost so far, and costs now; absent where a price is not known. */
  cost?: { usd: number; usd_per_hour: number; as_of: string };
  /** Id of the host that it is: `ssh:NAME`, once it can be reached. */
  host?: string;
  /** What went wrong last: a sentence. */
  problem?: string;
  preempted?: boolean;
}

export interface VmProgress {
  vm: string;
  stage: VmStage;
  /** A sentence: what is being done. */
  text: string;
  /** Seconds since it was begun. */
  seconds: number;
}

/** A deletion that was seen to be one. */
export interface VmDeletion {
  vm: string;
  project: string;
  /** What listing found no more: instance, disks, addresses. */
  verified: string[];
  /** What was kept on purpose: snapshots. */
  kept: string[];
  cost?: { usd: number };
}

export interface Reconciliation {
  /** In the project by its label and not known here: somebody's money. */
  unknown: VmView[];
  /** Known here and there. */
  known: VmView[];
  /** Known here, gone there: recorded as deleted now, with what they cost. */
  gone: VmView[];
  /** Projects that could not be asked, and why. */
  failed: { project: string; message: string }[];
}

/** Where an SSH client finds a VM. */
export interface VmSsh {
  name: string;
  hostName: string;
  port: number;
  user: string;
  identityFile: string;
  knownHostsFile: string;
  /** A program whose standard streams are the connection, where there is no address (IAP). */
  proxyCommand?: string[];
}

export type CloudContract = {
  requests: {
    /** @throws `cloud_credentials` with the command that mends it */
    'cloud/identity': { params: Record<string, never>; result: CloudIdentity };
    /** Best first: those that fit and are within quota, by price. */
    'cloud/offers': { params: OfferQuery; result: MachineOffer[] };
    /** Returns when it is ready. Cancelling deletes what there is of it, and says so. Progress: `vm/progress`. */
    'vm/create': { params: CreateVm; result: VmView };
    /** What the record says, brought up to date by asking the cloud where `refresh` is true. */
    'vm/list': { params: { refresh: boolean }; result: VmView[] };
    'vm/ssh': { params: { vm: string }; result: VmSsh };
    /**
     * `seconds` from now. Behind `delete_at_latest` a running VM has to be stopped and started for it: only where `restart`
     * is true, else `cloud_invalid` with data {reason: 'running', latest}.
     */
    'vm/extend': { params: { vm: string; seconds: number; restart?: boolean }; result: VmView };
    'vm/stop': { params: { vm: string }; result: VmView };
    /** Returns when it is ready again, with its new address. */
    'vm/start': { params: { vm: string }; result: VmView };
    /**
     * A VM that the cloud took away (or a stopped one) is made anew, in other zones first, with what the old one left: its
     * disk, or its bucket. Runs that were broken off go on there by themselves. Returns when it is ready; the old one is
     * gone then. `zones`: only these, in this order.
     */
    'vm/resumeElsewhere': { params: { vm: string; zones?: string[] }; result: VmView };
    /** Deletes, waits, and looks. `project` and `zone` where it is not known here. */
    'vm/delete': { params: { vm: string; project?: string; zone?: string }; result: VmDeletion };
    'vm/reconcile': { params: { projects?: string[] }; result: Reconciliation };
    /** Takes the rest of its life into its own hands again: deletions and creations that were broken off. */
    'vm/recover': { params: Record<string, never>; result: VmView[] };
  };
  notifications: Record<never, never>;
};

export type CloudClientContract = {
  requests: Record<never, never>;
  notifications: {
    'vm/progress': VmProgress;
    /** The whole list, whenever one of them changes. */
    'vm/changed': { vms: VmView[] };
  };
};
