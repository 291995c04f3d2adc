/** The methods of Compute Engine that the product calls, and Google's rules that bite. */
import { cp } from 'node:fs/promises';
import { join } from 'node:path';
import {
  ACCELERATORS,
  DISK_TYPES,
  IMAGE_PROJECT,
  IMAGES,
  MACHINE_TYPES,
  type MachineTypeInfo,
  regionOf,
  ZONES,
  zonesOf,
} from './catalog';
import { GoogleError, invalid, notFound } from './faults';
import { parseFilter } from './filter';
import { fingerprint, type Machine, type MachineOptions, type Scheduling } from './machine';
import type { Operation } from './operations';
import { mostOf, type Project, type World } from './world';

export interface Call {
  /** `instances.insert`. */
  name: string;
  path: Record<string, string>;
  query: URLSearchParams;
  // biome-ignore lint/suspicious/noExplicitAny: it was held against Google's definitions
  body: any;
  user: string;
}

type Answer = unknown;
type Method = (world: World, call: Call) => Answer | Promise<Answer>;
type Resource = Record<string, unknown>;

const NAME = /^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$/;
const LABEL_KEY = /^[a-z][-_a-z0-9]{0,62}$/;
const LABEL_VALUE = /^[-_a-z0-9]{0,63}$/;
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

export function projectOf(world: World, id: string): Project {
  const project = world.projects.get(id);
  if (!project) throw notFound(`projects/${id}`);
  return project;
}

function machineOf(world: World, { path }: Call): Machine {
  checkZone(path.zone!);
  const machine = world.machines.get(`${path.project}/${path.zone}/${path.instance}`);
  if (!machine) throw notFound(`projects/${path.project}/zones/${path.zone}/instances/${path.instance}`);
  return machine;
}

function checkZone(zone: string): void {
  if (!Object.values(ZONES).flat().includes(zone))
    throw invalid(`Invalid value for field 'zone': '${zone}'. Unknown zone.`);
}

function checkLabels(labels: Record<string, string>, at: string): void {
  for (const [key, value] of Object.entries(labels)) {
    if (!LABEL_KEY.test(key))
      throw invalid(`Invalid value for field '${at}': '${key}'. Label key '${key}' violates format constraints.`);
    if (!LABEL_VALUE.test(value))
      throw invalid(
        `Invalid value for field '${at}': ''. Label value '${value}' violates format constraints. The value can only contain lowercase letters, numeric characters, underscores and dashes. The value can be at most 63 characters long.`,
      );
  }
}

/** Begins an operation, unless this request has begun it already. */
function begin(
  world: World,
  call: Call,
  machine: { options: { id: string; project: string; zone: string }; path: string },
  type: string,
  work: Parameters<World['operations']['begin']>[1]['work'],
): Operation {
  const { project, zone, id } = machine.options;
  const requestId = call.query.get('requestId') ?? undefined;
  const target = { targetId: id, targetLink: world.link(machine.path) };
  return world.operations.begin(call.name, {
    project,
    zone,
    type,
    ...target,
    user: call.user,
    ...(requestId && { requestId }),
    work,
  });
}

/** A method that changes something: sent twice with one ID, it is done once. */
function once(method: Method): Method {
  return (world, call) => {
    const requestId = call.query.get('requestId') ?? undefined;
    if (requestId !== undefined && !UUID.test(requestId))
      throw invalid(`Invalid value for field 'requestId': '${requestId}'. Must be a valid UUID.`);
    return world.operations.ofRequest(call.path.project!, call.name, requestId) ?? method(world, call);
  };
}

/** A page of what the filter lets through. */
function page(call: Call, all: Resource[]): { items: Resource[]; nextPageToken?: string } {
  const text = call.query.get('filter');
  const test = text ? parseFilter(text) : () => true;
  if (!test) throw invalid(`Invalid value for field 'filter': '${text}'. Invalid list filter expression.`);
  const size = Number(call.query.get('maxResults') ?? 500);
  if (!(size >= 0 && size <= 500)) throw invalid(`Invalid value for field 'maxResults': '${size}'.`);
  const from = Number(call.query.get('pageToken') ?? 0);
  const found = all.filter(test);
  return {
    items: found.slice(from, from + size),
    ...(from + size < found.length && { nextPageToken: String(from + size) }),
  };
}

function list(kind: string, all: (world: World, call: Call) => Resource[]): Method {
  return (world, call) => ({ kind: `compute#${kind}List`, ...page(call, all(world, call)) });
}

/** By `zones/ZONE`; a place without any says so. */
function aggregated(kind: string, field: string, all: (world: World, call: Call) => Resource[]): Method {
  return (world, call) => {
    const { items, nextPageToken } = page(call, all(world, call));
    const scopes: Record<string, Resource> = {};
    for (const zone of Object.values(ZONES).flat()) {
      const here = items.filter((item) => String(item.zone).endsWith(`/${zone}`) || item.zone === zone);
      scopes[`zones/${zone}`] = here.length > 0 ? { [field]: here } : { warning: NOTHING };
    }
    return { kind: `compute#${kind}AggregatedList`, items: scopes, ...(nextPageToken && { nextPageToken }) };
  };
}
const NOTHING = { code: 'NO_RESULTS_ON_PAGE', message: 'There are no results for scope on this page.' };

const limitsOf = (world: World, project: Project, region?: string) =>
  [...(region === undefined ? project.quotas : (project.regionQuotas.get(region) ?? new Map<string, number>()))].map(
    ([metric, limit]) => ({ metric, limit, usage: world.usage(project.id, metric, region) }),
  );

const machineType = (world: World, project: string, zone: string, { name, cpus, memoryMb, gpu }: MachineTypeInfo) => ({
  kind: 'compute#machineType',
  name,
  guestCpus: cpus,
  memoryMb,
  zone,
  ...(gpu && { accelerators: [{ guestAcceleratorType: gpu.type, guestAcceleratorCount: gpu.count }] }),
  selfLink: world.link(`projects/${project}/zones/${zone}/machineTypes/${name}`),
});

const machineTypes = (world: World, { path }: Call): Resource[] =>
  MACHINE_TYPES.flatMap((info) =>
    zonesOf(info)
      .filter((zone) => path.zone === undefined || zone === path.zone)
      .map((zone) => machineType(world, path.project!, zone, info)),
  );

const region = (world: World, { path }: Call, name: string) => ({
  kind: 'compute#region',
  name,
  status: 'UP',
  zones: ZONES[name]!.map((zone) => world.link(`projects/${path.project}/zones/${zone}`)),
  quotas: limitsOf(world, projectOf(world, path.project!), name),
});

const zoneResource = (world: World, { path }: Call, name: string) => ({
  kind: 'compute#zone',
  name,
  status: 'UP',
  region: world.link(`projects/${path.project}/regions/${regionOf(name)}`),
});

const disks = (world: World, { path }: Call): Resource[] =>
  [...world.disks.values()]
    .filter((disk) => disk.project === path.project && (path.zone === undefined || disk.zone === path.zone))
    .map(({ id, name, zone, sizeGb, type, labels, created, user }) => ({
      kind: 'compute#disk',
      id,
      name,
      zone: world.link(`projects/${path.project}/zones/${zone}`),
      sizeGb: String(sizeGb),
      type: world.link(`projects/${path.project}/zones/${zone}/diskTypes/${type}`),
      labels,
      status: 'READY',
      creationTimestamp: new Date(created).toISOString(),
      users: user ? [world.link(user)] : [],
    }));

const snapshots = (world: World, { path }: Call): Resource[] =>
  [...world.snapshots.values()]
    .filter(({ project }) => project === path.project)
    .map(({ id, name, labels, created, sourceDisk, sizeGb }) => ({
      kind: 'compute#snapshot',
      id,
      name,
      labels,
      status: 'READY',
      creationTimestamp: new Date(created).toISOString(),
      sourceDisk: world.link(sourceDisk),
      diskSizeGb: String(sizeGb),
    }));

const operationsIn = (world: World, { path }: Call): Resource[] =>
  world.operations.list(path.project!, path.zone!) as unknown as Resource[];

const found = <Item>(item: Item | undefined, resource: string): Item => {
  if (item === undefined) throw notFound(resource);
  return item;
};

export const METHODS: Readonly<Record<string, Method>> = {
  'projects.get': (world, { path }) => {
    const project = projectOf(world, path.project!);
    return {
      kind: 'compute#project',
      id: project.number,
      name: project.id,
      quotas: limitsOf(world, project),
      commonInstanceMetadata: { kind: 'compute#metadata', fingerprint: fingerprint(1), items: project.items },
      defaultServiceAccount: project.defaultServiceAccount,
    };
  },
  'regions.list': list('region', (world, call) => Object.keys(ZONES).map((name) => region(world, call, name))),
  'regions.get': (world, call) => {
    const name = call.path.region!;
    if (!ZONES[name]) throw notFound(`projects/${call.path.project}/regions/${name}`);
    return region(world, call, name);
  },
  'zones.list': list('zone', (world, call) =>
    Object.values(ZONES)
      .flat()
      .map((name) => zoneResource(world, call, name)),
  ),
  'zones.get': (world, call) => {
    checkZone(call.path.zone!);
    return zoneResource(world, call, call.path.zone!);
  },
  'machineTypes.aggregatedList': aggregated('machineType', 'machineTypes', machineTypes),
  'machineTypes.list': list('machineType', machineTypes),
  'machineTypes.get': (world, call) =>
    found(
      machineTypes(world, call).find(({ name }) => name === call.path.machineType),
      `projects/${call.path.project}/zones/${call.path.zone}/machineTypes/${call.path.machineType}`,
    ),
  'acceleratorTypes.aggregatedList': aggregated('acceleratorType', 'acceleratorTypes', () =>
    Object.entries(ACCELERATORS).flatMap(([name, { most, zones }]) =>
      zones.map((zone) => ({ kind: 'compute#acceleratorType', name, zone, maximumCardsPerInstance: most })),
    ),
  ),
  'addresses.aggregatedList': aggregated('address', 'addresses', () => []),
  'images.getFromFamily': (_, { path }) => {
    const name = path.project === IMAGE_PROJECT ? IMAGES[path.family!] : undefined;
    if (!name) throw notFound(`projects/${path.project}/global/images/family/${path.family}`);
    return { kind: 'compute#image', name, family: path.family, status: 'READY', diskSizeGb: '50' };
  },

  'disks.aggregatedList': aggregated('disk', 'disks', disks),
  'disks.list': list('disk', disks),
  'disks.get': (world, call) =>
    found(
      disks(world, call).find(({ name }) => name === call.path.disk),
      `projects/${call.path.project}/zones/${call.path.zone}/disks/${call.path.disk}`,
    ),
  'disks.delete': once((world, call) => {
    const { project, zone, disk: name } = call.path;
    const key = `${project}/${zone}/${name}`;
    const disk = found(world.disks.get(key), `projects/${project}/zones/${zone}/disks/${name}`);
    if (disk.user)
      throw new GoogleError(
        400,
        'resourceInUseByAnotherResource',
        `The disk resource 'projects/${project}/zones/${zone}/disks/${name}' is already being used by '${disk.user}'`,
      );
    const target = {
      options: { id: disk.id, project: project!, zone: zone! },
      path: `projects/${project}/zones/${zone}/disks/${name}`,
    };
    return begin(world, call, target, 'delete', async () => {
      world.disks.delete(key);
      const owner = world.history.findLast(({ options }) => options.disk.id === disk.id);
      if (owner) {
        owner.deletedAt = world.options.clock.now();
        await owner.guest.removeDisk();
      }
      return undefined;
    });
  }),
  'disks.createSnapshot': once((world, call) => {
    const { project, zone, disk: name } = call.path;
    const path = `projects/${project}/zones/${zone}/disks/${name}`;
    const disk = found(world.disks.get(`${project}/${zone}/${name}`), path);
    const { name: snapshot, labels = {} } = call.body as { name?: string; labels?: Record<string, string> };
    if (!snapshot || !NAME.test(snapshot)) throw invalid(`Invalid value for field 'resource.name': '${snapshot}'.`);
    checkLabels(labels, 'resource.labels');
    if (world.snapshots.has(`${project}/${snapshot}`))
      throw new GoogleError(
        409,
        'alreadyExists',
        `The resource 'projects/${project}/global/snapshots/${snapshot}' already exists`,
      );
    const owner = world.history.findLast(({ options }) => options.disk.id === disk.id);
    const target = { options: { id: disk.id, project: project!, zone: zone! }, path };
    return begin(world, call, target, 'createSnapshot', async () => {
      const folder = join(world.options.dir, `snapshot-${snapshot}`);
      if (owner)
        await cp(owner.guest.home, folder, { recursive: true, verbatimSymlinks: true, preserveTimestamps: true });
      world.snapshots.set(`${project}/${snapshot}`, {
        id: world.id(),
        name: snapshot,
        project: project!,
        labels,
        created: world.options.clock.now(),
        sourceDisk: path,
        sizeGb: disk.sizeGb,
        folder,
      });
      return undefined;
    });
  }),
  'snapshots.list': list('snapshot', snapshots),
  'snapshots.get': (world, call) =>
    found(
      snapshots(world, call).find(({ name }) => name === call.path.snapshot),
      `projects/${call.path.project}/global/snapshots/${call.path.snapshot}`,
    ),
  'snapshots.delete': once((world, call) => {
    const { project, snapshot } = call.path;
    const path = `projects/${project}/global/snapshots/${snapshot}`;
    const { id } = found(world.snapshots.get(`${project}/${snapshot}`), path);
    const requestId = call.query.get('requestId');
    return world.operations.begin(call.name, {
      project: project!,
      type: 'delete',
      targetId: id,
      targetLink: world.link(path),
      user: call.user,
      ...(requestId && { requestId }),
      work: () => {
        world.snapshots.delete(`${project}/${snapshot}`);
        return undefined;
      },
    });
  }),

  'instances.insert': once(insert),
  'instances.get': (world, call) => machineOf(world, call).resource(),
  'instances.list': list('instance', (world, { path }) => {
    checkZone(path.zone!);
    return world
      .machinesOf(path.project!)
      .filter(({ options }) => options.zone === path.zone)
      .map((one) => one.resource());
  }),
  'instances.aggregatedList': aggregated('instance', 'instances', (world, { path }) =>
    world.machinesOf(path.project!).map((one) => one.resource()),
  ),
  'instances.delete': once((world, call) => {
    const machine = machineOf(world, call);
    return begin(world, call, machine, 'delete', async () => {
      await world.remove(machine);
      return undefined;
    });
  }),
  'instances.stop': once((world, call) => {
    const machine = machineOf(world, call);
    return begin(world, call, machine, 'stop', async () => {
      if (machine.status === 'RUNNING') await world.shutDown(machine);
      return undefined;
    });
  }),
  'instances.start': once((world, call) => {
    const machine = machineOf(world, call);
    if (machine.status !== 'TERMINATED' && machine.status !== 'RUNNING')
      throw new GoogleError(400, 'resourceNotReady', `The resource '${machine.path}' is not ready`);
    return begin(world, call, machine, 'start', async () => {
      if (machine.status === 'RUNNING') return undefined;
      const { status } = machine;
      machine.status = 'STAGING';
      const error = world.refusal(machine.options, machine.isSpot);
      if (error) {
        machine.status = status;
        return error;
      }
      await world.boot(machine);
      return undefined;
    });
  }),
  'instances.setMetadata': once((world, call) => {
    const machine = machineOf(world, call);
    const { items = [], fingerprint: given } = call.body as {
      items?: { key: string; value: string }[];
      fingerprint?: string;
    };
    checkFingerprint(given, machine.fingerprint);
    checkItems(items);
    return begin(world, call, machine, 'setMetadata', async () => {
      if (given !== fingerprint(machine.fingerprint))
        return {
          code: 'CONDITION_NOT_MET',
          message: 'Supplied fingerprint does not match current metadata fingerprint.',
        };
      machine.options.items = items;
      machine.fingerprint++;
      if (machine.status === 'RUNNING') await machine.guest.writeKeys();
      return undefined;
    });
  }),
  'instances.setLabels': once((world, call) => {
    const machine = machineOf(world, call);
    const { labels = {}, labelFingerprint } = call.body as {
      labels?: Record<string, string>;
      labelFingerprint?: string;
    };
    checkFingerprint(labelFingerprint, machine.labelFingerprint);
    checkLabels(labels, 'labels');
    return begin(world, call, machine, 'setLabels', () => {
      machine.options.labels = labels;
      machine.labelFingerprint++;
      return undefined;
    });
  }),
  'instances.setScheduling': once((world, call) => {
    const machine = machineOf(world, call);
    const scheduling = call.body as Scheduling;
    if (machine.status !== 'TERMINATED')
      throw invalid('Max run duration cannot be changed while the instance is running.');
    checkScheduling(scheduling, machine.options.gpu !== undefined, '');
    return begin(world, call, machine, 'setScheduling', () => {
      machine.options.scheduling = scheduling;
      return undefined;
    });
  }),
  'instances.getSerialPortOutput': (world, call) => {
    const machine = machineOf(world, call);
    const start = Number(call.query.get('start') ?? 0);
    const contents = machine.guest.serial.slice(start);
    return { kind: 'compute#serialPortOutput', contents, start: String(start), next: String(start + contents.length) };
  },
  'instances.getGuestAttributes': (world, call) => {
    const machine = machineOf(world, call);
    const path = call.query.get('queryPath') ?? '';
    const items = [...machine.guest.attributes].flatMap(([name, value]) => {
      const [namespace = '', key = ''] = name.split('/');
      return name === path || name.startsWith(path.endsWith('/') ? path : `${path}/`)
        ? [{ namespace, key, value }]
        : [];
    });
    if (items.length === 0) throw notFound(`${machine.path}/guestAttributes/${path}`);
    return { kind: 'compute#guestAttributes', queryPath: path, queryValue: { items } };
  },

  'zoneOperations.get': (world, { path }) =>
    found(
      world.operations.get(path.project!, path.zone!, path.operation!),
      `projects/${path.project}/zones/${path.zone}/operations/${path.operation}`,
    ),
  'zoneOperations.list': list('operation', operationsIn),
  'zoneOperations.wait': async (world, { path }) =>
    found(
      await world.operations.wait(path.project!, path.zone!, path.operation!),
      `projects/${path.project}/zones/${path.zone}/operations/${path.operation}`,
    ),
  'globalOperations.get': (world, { path }) =>
    found(
      world.operations.get(path.project!, undefined, path.operation!),
      `projects/${path.project}/global/operations/${path.operation}`,
    ),
  'globalOperations.wait': async (world, { path }) =>
    found(
      await world.operations.wait(path.project!, undefined, path.operation!),
      `projects/${path.project}/global/operations/${path.operation}`,
    ),
};

function checkFingerprint(given: string | undefined, current: number): void {
  if (given !== fingerprint(current))
    throw new GoogleError(412, 'conditionNotMet', 'Supplied fingerprint does not match current metadata fingerprint.');
}

function checkItems(items: { key: string; value: string }[]): void {
  const keys = items.map(({ key }) => key);
  const twice = keys.find((key, i) => keys.indexOf(key) !== i);
  if (twice) throw invalid(`Invalid value for field 'metadata': ''. Found duplicate metadata key '${twice}'.`);
  for (const { key, value } of items) {
    if (!/^[a-zA-Z0-9_-]{1,128}$/.test(key)) throw invalid(`Invalid value for field 'metadata.items.key': '${key}'.`);
    if (Buffer.byteLength(value) > 256 << 10) throw invalid(`Value for metadata key '${key}' is too large.`);
  }
}

function checkScheduling(scheduling: Scheduling, hasGpu: boolean, at: string): void {
  const { onHostMaintenance, automaticRestart, provisioningModel, maxRunDuration, instanceTerminationAction } =
    scheduling;
  const field = (name: string) => `${at}${name}`;
  if (hasGpu && onHostMaintenance !== 'TERMINATE')
    throw invalid('Instances with guest accelerators do not support live migration.');
  if (provisioningModel === 'SPOT' && automaticRestart !== false)
    throw invalid(
      `Invalid value for field '${field('scheduling.automaticRestart')}': 'true'. Scheduling must have no automatic restart when provisioning model is SPOT.`,
    );
  const seconds = maxRunDuration === undefined ? undefined : Number(maxRunDuration.seconds);
  if (seconds !== undefined && !(seconds >= 30 && seconds <= 120 * 86_400))
    throw invalid(
      `Invalid value for field '${field('scheduling.maxRunDuration')}': '${seconds}s'. Max run duration must be between 30 seconds and 120 days.`,
    );
  if (seconds !== undefined && !instanceTerminationAction)
    throw invalid(
      `Invalid value for field '${field('scheduling.instanceTerminationAction')}': ''. It must be set where max run duration is.`,
    );
}

/** @throws GoogleError for what Google refuses at once; what it refuses later is the operation's error */
function insert(world: World, call: Call): Operation {
  const { project, zone } = call.path as { project: string; zone: string };
  checkZone(zone);
  const body = call.body as {
    name?: string;
    machineType?: string;
    labels?: Record<string, string>;
    metadata?: { items?: { key: string; value: string }[] };
    scheduling?: Scheduling;
    serviceAccounts?: { email: string; scopes: string[] }[];
    guestAccelerators?: { acceleratorType: string; acceleratorCount: number }[];
    networkInterfaces?: { network?: string; subnetwork?: string; accessConfigs?: unknown[] }[];
    disks?: {
      boot?: boolean;
      autoDelete?: boolean;
      initializeParams?: {
        sourceImage?: string;
        sourceSnapshot?: string;
        diskSizeGb?: string | number;
        diskType?: string;
        diskName?: string;
        labels?: Record<string, string>;
      };
    }[];
  };
  const { name = '', labels = {}, scheduling = {} } = body;
  if (!NAME.test(name))
    throw invalid(
      `Invalid value for field 'resource.name': '${name}'. Must be a match of regex '(?:[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?)'`,
    );
  checkLabels(labels, 'resource.labels');
  if (world.machines.has(`${project}/${zone}/${name}`))
    throw new GoogleError(
      409,
      'alreadyExists',
      `The resource 'projects/${project}/zones/${zone}/instances/${name}' already exists`,
    );
  const info = machineTypeOf(body.machineType, zone);
  const accelerator = acceleratorOf(body.guestAccelerators, info, project, zone);
  const gpu = info.gpu ?? accelerator;
  checkScheduling(scheduling, gpu !== undefined, 'resource.');
  const items = body.metadata?.items ?? [];
  checkItems(items);
  const isSwitchedOff = items.some(({ key, value }) => key === 'enable-oslogin' && value.toUpperCase() !== 'TRUE');
  if (projectOf(world, project).requiresOsLogin && isSwitchedOff)
    throw new GoogleError(
      412,
      'conditionNotMet',
      `Constraint constraints/compute.requireOsLogin violated for project ${project}.`,
    );

  const [boot, ...others] = body.disks ?? [];
  const parameters = boot?.initializeParams;
  if (!boot?.boot || !parameters || others.length > 0)
    throw invalid("Invalid value for field 'resource.disks': ''. No boot disk specified.");
  const diskType = lastOf(parameters.diskType ?? 'pd-standard');
  if (parameters.diskType !== undefined && !parameters.diskType.includes(`zones/${zone}/diskTypes/`))
    throw invalid(
      `Invalid value for field 'resource.disks[0].initializeParams.diskType': '${parameters.diskType}'. The URL is malformed.`,
    );
  if (!DISK_TYPES.includes(diskType)) throw notFound(`projects/${project}/zones/${zone}/diskTypes/${diskType}`);
  if (/^(g2|a3)-/.test(info.name) && diskType === 'pd-standard')
    throw invalid(`[pd-standard] features are not compatible for creating instance with machine type ${info.name}.`);
  const snapshot = snapshotOf(world, project, parameters.sourceSnapshot);
  if (!snapshot) checkImage(parameters.sourceImage);
  const sizeGb = Number(parameters.diskSizeGb ?? 50);
  const least = snapshot?.sizeGb ?? 50;
  if (sizeGb < least)
    throw invalid(
      `Invalid value for field 'resource.disks[0].initializeParams.diskSizeGb': '${sizeGb}'. Requested disk size cannot be smaller than the image size (${least} GB)`,
    );
  const [network] = body.networkInterfaces ?? [];
  if (!network)
    throw invalid(
      "Invalid value for field 'resource.networkInterfaces': ''. At least one network interface is required.",
    );
  if (network.network !== undefined && !/(^|\/)global\/networks\/default$/.test(network.network))
    throw notFound(`projects/${project}/${network.network}`);

  const [serviceAccount] = body.serviceAccounts ?? [];
  const created = world.options.clock.now();
  const options: MachineOptions = {
    id: world.id(),
    project,
    zone,
    name,
    machineType: info.name,
    gpu,
    accelerator,
    scheduling,
    labels,
    items,
    external: (network.accessConfigs ?? []).length > 0,
    serviceAccount: serviceAccount && {
      ...serviceAccount,
      email:
        serviceAccount.email === 'default' ? projectOf(world, project).defaultServiceAccount : serviceAccount.email,
    },
    autoDelete: boot.autoDelete === true,
    disk: {
      id: world.id(),
      name: parameters.diskName ?? name,
      zone,
      sizeGb,
      type: diskType,
      labels: parameters.labels ?? {},
      created,
    },
  };
  checkLabels(options.disk.labels, 'resource.disks[0].initializeParams.labels');
  if (world.disks.has(`${project}/${zone}/${options.disk.name}`))
    throw new GoogleError(
      409,
      'alreadyExists',
      `The resource 'projects/${project}/zones/${zone}/disks/${options.disk.name}' already exists`,
    );
  const machine = world.add(options);
  return begin(world, call, machine, 'insert', async () => {
    const error = world.refusal(options, machine.isSpot);
    if (error) {
      world.forget(machine);
      return error;
    }
    await machine.guest.makeDisk(snapshot?.folder);
    machine.hasDriver = snapshot !== undefined;
    await world.boot(machine);
    return undefined;
  });
}

const lastOf = (path: string): string => path.slice(path.lastIndexOf('/') + 1);

function machineTypeOf(path: string | undefined, zone: string): MachineTypeInfo {
  const [, at, name] = /(?:^|\/)zones\/([^/]+)\/machineTypes\/([^/]+)$/.exec(path ?? '') ?? [];
  if (at !== zone) throw invalid(`Invalid value for field 'resource.machineType': '${path}'. The URL is malformed.`);
  const info = MACHINE_TYPES.find((one) => one.name === name && zonesOf(one).includes(zone));
  if (!info)
    throw invalid(
      `Invalid value for field 'resource.machineType': '${path}'. Machine type with name '${name}' does not exist in zone '${zone}'.`,
    );
  return info;
}

function acceleratorOf(
  given: { acceleratorType: string; acceleratorCount: number }[] | undefined,
  info: MachineTypeInfo,
  project: string,
  zone: string,
): { type: string; count: number } | undefined {
  const [first] = given ?? [];
  if (!first) return undefined;
  const type = lastOf(first.acceleratorType);
  if (!info.name.startsWith('n1-'))
    throw invalid(`[${type}] features are not compatible for creating instance with machine type ${info.name}.`);
  const most = mostOf(type, zone);
  if (most === 0) throw notFound(`projects/${project}/zones/${zone}/acceleratorTypes/${type}`);
  if (!(first.acceleratorCount >= 1 && first.acceleratorCount <= most))
    throw invalid(
      `Invalid value for field 'resource.guestAccelerators[0].acceleratorCount': '${first.acceleratorCount}'.`,
    );
  return { type, count: first.acceleratorCount };
}

function snapshotOf(world: World, project: string, path: string | undefined) {
  if (path === undefined) return undefined;
  const name = lastOf(path);
  return found(world.snapshots.get(`${project}/${name}`), `projects/${project}/global/snapshots/${name}`);
}

function checkImage(path: string | undefined): void {
  const [, project, name] = /projects\/([^/]+)\/global\/images\/([^/]+)$/.exec(path ?? '') ?? [];
  if (!project || !name)
    throw invalid(
      `Invalid value for field 'resource.disks[0].initializeParams.sourceImage': '${path}'. The URL is malformed.`,
    );
  if (project !== IMAGE_PROJECT || !Object.values(IMAGES).includes(name))
    throw notFound(`projects/${project}/global/images/${name}`);
}
