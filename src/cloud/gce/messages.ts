/**
 * The parts of Compute Engine's messages and methods that are used, as Google's library gives them: 64-bit numbers are
 * strings, enumerations their names, and what is not there is null, empty or absent.
 */
/** Any field may be missing. */
type Protobuf<Fields> = { [Key in keyof Fields]?: Fields[Key] | null };

export interface CallOptions {
  /** Milliseconds. */
  timeout: number;
  signal: AbortSignal;
  /** None: calls are repeated by `call`, which knows more. */
  retry: { retryCodes: number[]; backoffSettings: Record<string, never> };
  /** Lists are read page by page. */
  autoPaginate: false;
}

/** An answer comes as the first of an array. */
type Method<Request, Answer> = (request: Request, options: CallOptions) => Promise<[Answer, ...unknown[]]>;
type Listing<Request, Item> = (request: Request, options: CallOptions) => AsyncIterable<Item>;
/** By zone: `zones/us-central1-a`. */
type Aggregated<Key extends string, Item> = Listing<Aggregate, [string, Protobuf<{ [K in Key]: Item[] }>]>;

interface Aggregate {
  project: string;
  filter?: string;
  maxResults?: number;
  returnPartialSuccess?: boolean;
}
interface InZone {
  project: string;
  zone: string;
}
export interface OnInstance extends InZone {
  instance: string;
}
interface OnSnapshot {
  project: string;
  snapshot: string;
}
type Mutation = { requestId: string };
/** The library wraps operations; what Google answered is inside. */
export interface Started {
  latestResponse: Operation;
}

export interface Compute {
  acceleratorTypes: { aggregatedListAsync: Aggregated<'acceleratorTypes', AcceleratorType> };
  addresses: { aggregatedListAsync: Aggregated<'addresses', Named> };
  disks: {
    aggregatedListAsync: Aggregated<'disks', Named>;
    delete: Method<InZone & Mutation & { disk: string }, Started>;
    createSnapshot: Method<InZone & Mutation & { disk: string; snapshotResource: SnapshotResource }, Started>;
  };
  images: { getFromFamily: Method<{ project: string; family: string }, Image> };
  instances: {
    aggregatedListAsync: Aggregated<'instances', Instance>;
    get: Method<OnInstance, Instance>;
    insert: Method<InZone & Mutation & { instanceResource: InstanceResource }, Started>;
    delete: Method<OnInstance & Mutation, Started>;
    stop: Method<OnInstance & Mutation, Started>;
    start: Method<OnInstance & Mutation, Started>;
    setMetadata: Method<OnInstance & Mutation & { metadataResource: Metadata }, Started>;
    setScheduling: Method<OnInstance & Mutation & { schedulingResource: Scheduling }, Started>;
    getSerialPortOutput: Method<OnInstance & { port: number; start: number }, { contents?: string; next?: string }>;
    getGuestAttributes: Method<OnInstance & { queryPath: string }, GuestAttributes>;
  };
  machineTypes: { aggregatedListAsync: Aggregated<'machineTypes', MachineType> };
  projects: { get: Method<{ project: string }, Project> };
  regions: { listAsync: Listing<{ project: string }, Region> };
  snapshots: {
    get: Method<OnSnapshot, Protobuf<{ status: string }>>;
    delete: Method<OnSnapshot & Mutation, Started>;
  };
  zoneOperations: {
    get: Method<InZone & { operation: string }, Operation>;
    wait: Method<InZone & { operation: string }, Operation>;
    listAsync: Listing<InZone & { filter: string }, Operation>;
  };
}

export interface Named {
  name: string;
}

export type Image = Protobuf<{ name: string; selfLink: string }>;

export interface OperationError {
  code?: string | null;
  message?: string | null;
  errorDetails?: { errorInfo?: ErrorInfo | null }[] | null;
}
export interface ErrorInfo {
  reason?: string | null;
  metadatas?: Record<string, string> | null;
}

export type Operation = Protobuf<{
  name: string;
  status: 'PENDING' | 'RUNNING' | 'DONE' | 'UNDEFINED_STATUS';
  error: Protobuf<{ errors: OperationError[] }>;
  httpErrorStatusCode: number;
  httpErrorMessage: string;
  operationType: string;
  insertTime: string;
  endTime: string;
}>;

export interface Metadata {
  fingerprint?: string | null;
  items?: { key?: string | null; value?: string | null }[] | null;
}

export interface Scheduling {
  onHostMaintenance?: string | null;
  automaticRestart?: boolean | null;
  provisioningModel?: string | null;
  instanceTerminationAction?: string | null;
  maxRunDuration?: { seconds?: string | number | null } | null;
  terminationTime?: string | null;
}

/** A VM as it is asked for. */
export interface InstanceResource {
  name: string;
  machineType: string;
  labels: Record<string, string>;
  metadata: Metadata;
  disks: {
    boot: boolean;
    autoDelete: boolean;
    initializeParams: {
      sourceImage?: string;
      sourceSnapshot?: string;
      diskSizeGb: number;
      diskType: string;
      labels: Record<string, string>;
    };
  }[];
  networkInterfaces: {
    network?: string;
    subnetwork?: string;
    accessConfigs?: { name: string; type: string }[];
  }[];
  scheduling: Scheduling;
  guestAccelerators?: { acceleratorType: string; acceleratorCount: number }[];
  serviceAccounts?: { email: string; scopes: string[] }[];
}

interface SnapshotResource {
  name: string;
  labels: Record<string, string>;
}

/** A VM as it is told of. */
export type Instance = Protobuf<{
  id: string;
  name: string;
  status: string;
  zone: string;
  machineType: string;
  labels: Record<string, string>;
  metadata: Metadata;
  creationTimestamp: string;
  lastStartTimestamp: string;
  lastStopTimestamp: string;
  scheduling: Scheduling;
  resourceStatus: Protobuf<{ scheduling: Protobuf<{ terminationTimestamp: string }> }>;
  networkInterfaces: Protobuf<{ networkIP: string; accessConfigs: Protobuf<{ natIP: string }>[] }>[];
  disks: Protobuf<{ source: string; diskSizeGb: string; autoDelete: boolean }>[];
}>;

export type GuestAttributes = Protobuf<{ queryValue: Protobuf<{ items: { key?: string; value?: string }[] }> }>;

export type MachineType = Protobuf<{
  name: string;
  guestCpus: number;
  memoryMb: number;
  accelerators: { guestAcceleratorType?: string | null; guestAcceleratorCount?: number | null }[];
  deprecated: Protobuf<{ state: string }>;
}>;

export type AcceleratorType = Protobuf<{ name: string; maximumCardsPerInstance: number }>;

export interface Quota {
  metric?: string | null;
  limit?: number | null;
  usage?: number | null;
}

export type Project = Protobuf<{
  name: string;
  quotas: Quota[];
  commonInstanceMetadata: Metadata;
  defaultServiceAccount: string;
}>;

export type Region = Protobuf<{ name: string; quotas: Quota[] }>;
