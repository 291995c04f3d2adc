/**
 * A cloud, as far as VMs are concerned: one file each implements this (`gce/gceProvider.ts`). No state, no record, no
 * SSH: what is asked is asked of the cloud, and an operation's own error is what it throws. Every call takes a signal, has a
 * time limit, repeats what may be repeated (429, 503, dropped connections) within bounds, and may be sent twice
 * without harm.
 *
 * Errors: `cloud_credentials`, `cloud_permission`, `cloud_billing`, `cloud_quota`, `cloud_stockout`, `cloud_invalid`
 * (image, disk type, name: what the cloud refuses), `cloud_failed`, `vm_not_found`, `cancelled`, `timed_out`.
 */
import type { CloudIdentity, MachineOffer, OfferQuery, ProvisioningModel, VmState } from '@protocol/cloud';

/** Where a VM is. */
export interface VmPlace {
  project: string;
  zone: string;
  name: string;
}

/** All that a VM is born with; what keeps it safe is in it from its first second. */
export interface VmSpec extends VmPlace {
  /** UUID: the same one cannot make a second VM. One a zone and attempt. */
  requestId: string;
  machineType: string;
  /** Only for n1: other types come with theirs. */
  accelerator?: { type: string; count: number };
  provisioningModel: ProvisioningModel;
  maxRunSeconds: number;
  disk: { sizeGb: number; type: string };
  /** As `images.getFromFamily` gave it. */
  image: string;
  /** Name of a snapshot that the boot disk is made of, in place of the image. */
  sourceSnapshot?: string;
  /** At its time limit, and at preemption. Default `DELETE`; `STOP` keeps the boot disk. */
  terminationAction?: 'DELETE' | 'STOP';
  labels: Record<string, string>;
  metadata: Record<string, string>;
  network?: string;
  subnetwork?: string;
  externalAddress: boolean;
  serviceAccount?: { email: string; scopes: string[] };
}

/** A VM as the cloud sees it. */
export interface CloudVm extends VmPlace {
  /** Google's own number for it: a name may be used again. */
  id: string;
  state: VmState;
  machineType: string;
  provisioningModel: ProvisioningModel;
  labels: Record<string, string>;
  created: string;
  lastStart?: string;
  lastStop?: string;
  /** When the cloud ends it. */
  terminationTime?: string;
  internalAddress?: string;
  externalAddress?: string;
  /** Names of its disks, and whether they go with it. */
  disks: { name: string; sizeGb: number; autoDelete: boolean }[];
  /** Ended by the cloud, not by a person. */
  preempted: boolean;
}

export interface ProjectFacts {
  project: string;
  /** `enable-oslogin` of the project's metadata. */
  osLogin: boolean;
  /** `enable-oslogin-2fa` or security keys: a person answers at each login. */
  asksForMore: boolean;
  defaultServiceAccount?: string;
}

/** A key in a login profile. */
export interface LoginKey {
  /** E-mail address whose profile it is in. */
  account: string;
  fingerprint: string;
}

export interface Login extends LoginKey {
  /** Account on VMs of the project. */
  user: string;
}

/** What is left of a VM beside itself. */
export interface Leftovers {
  disks: string[];
  addresses: string[];
}

export interface CloudProvider {
  readonly id: 'gce';
  identity(signal?: AbortSignal): Promise<CloudIdentity>;
  project(project: string, signal?: AbortSignal): Promise<ProjectFacts>;
  /** Lets a key in by OS Login until then (milliseconds since 1970); twice is once. */
  importSshKey(project: string, publicKey: string, until: number, signal?: AbortSignal): Promise<Login>;
  renewSshKey(project: string, key: LoginKey, publicKey: string, until: number, signal?: AbortSignal): Promise<void>;
  /** Resolves when it is gone, or was not there. */
  deleteSshKey(project: string, key: LoginKey, signal?: AbortSignal): Promise<void>;
  /** Machine types with GPUs in every zone, with prices and quotas, best first. */
  offers(query: OfferQuery, signal?: AbortSignal): Promise<MachineOffer[]>;
  /** The newest image of a family: its full resource name. */
  image(imageProject: string, family: string, signal?: AbortSignal): Promise<string>;
  /** Resolves when the operation is done and had no error. */
  insert(spec: VmSpec, signal?: AbortSignal): Promise<CloudVm>;
  /** undefined where there is none. */
  get(place: VmPlace, signal?: AbortSignal): Promise<CloudVm | undefined>;
  /** In all zones, those that bear all of the labels. */
  list(project: string, labels: Record<string, string>, signal?: AbortSignal): Promise<CloudVm[]>;
  delete(place: VmPlace, requestId: string, signal?: AbortSignal): Promise<void>;
  /** When the instance of that number was deleted, as the zone's operations say; undefined where they do not (any more). */
  deletedAt(place: VmPlace, id: string, signal?: AbortSignal): Promise<string | undefined>;
  stop(place: VmPlace, requestId: string, signal?: AbortSignal): Promise<CloudVm>;
  start(place: VmPlace, requestId: string, signal?: AbortSignal): Promise<CloudVm>;
  /** Changes single keys of the VM's metadata; `undefined` removes one. Repeats where somebody was faster (fingerprint). */
  setMetadata(place: VmPlace, changes: Record<string, string | undefined>, signal?: AbortSignal): Promise<void>;
  /** The time at which the cloud ends it. */
  setTerminationTime(place: VmPlace, time: string, signal?: AbortSignal): Promise<CloudVm>;
  /** From `from` on; `next` is where to go on. */
  serialOutput(place: VmPlace, from: number, signal?: AbortSignal): Promise<{ text: string; next: number }>;
  /** `hostkeys/…`; empty where the guest has not written any. */
  guestAttributes(place: VmPlace, path: string, signal?: AbortSignal): Promise<Record<string, string>>;
  /** Disks and addresses that bear the VM's label. */
  leftovers(project: string, vm: string, signal?: AbortSignal): Promise<Leftovers>;
  deleteDisk(place: VmPlace, requestId: string, signal?: AbortSignal): Promise<void>;
  /** Snapshot of a disk, waited for. */
  snapshot(
    disk: VmPlace,
    snapshot: string,
    labels: Record<string, string>,
    requestId: string,
    signal?: AbortSignal,
  ): Promise<void>;
  /** Resolves when it is gone, or was not there. */
  deleteSnapshot(project: string, snapshot: string, requestId: string, signal?: AbortSignal): Promise<void>;
}
