/** Google Compute Engine as a {@link CloudProvider}. Google's library is loaded with the first request. */
import { randomUUID } from 'node:crypto';
import { setTimeout } from 'node:timers/promises';
import { TuneyardError } from '@protocol/errors';
import * as l10n from '@vscode/l10n';
import type { CloudProvider, CloudVm, VmPlace } from '../provider';
import { Api, type Ask, cancelled } from './api';
import { projectMissing } from './credentials';
import type { Doing } from './errors';
import { faultOfOperation } from './faults';
import { cloudVm, instanceResource, withTimeLimit } from './instances';
import type { Instance, Metadata, Named, Operation } from './messages';
import { readOffers } from './offers';
import { operate, type Waiting } from './operations';
import { osLogin } from './osLogin';
import { withOwnPrices } from './prices';

export interface GceOptions {
  /** In place of Google's. Default: TUNEYARD_GCE_ENDPOINT. */
  endpoint?: string;
  /** A key file that was chosen; else credentials are found as Google's libraries find them. */
  credentialsFile?: string;
  /** The setting `tuneyard.gce.prices`. */
  prices?: unknown;
  log?(line: string): void;
  now?(): number;
  sleep?(ms: number, signal?: AbortSignal): Promise<void>;
  env?: NodeJS.ProcessEnv;
  /** First pause before a call is repeated, in milliseconds. */
  firstPause?: number;
  /** How fast that clock goes. Default 1. */
  pace?: number;
}

const PREEMPTED = 'compute.instances.preempted';
const BY_GOOGLE = 'compute.instances.';

interface Listed {
  instances: Instance;
  disks: Named;
  addresses: Named;
}

/** How often metadata is changed anew where somebody was faster. */
const FINGERPRINT_ATTEMPTS = 8;
/** Google's limits of maxRunDuration. */
const SHORTEST_RUN = 30;
const LONGEST_RUN = 120 * 86_400;
/** Of real time. */
const SNAPSHOT_GONE_MS = 120_000;
const SNAPSHOT_LOOK_MS = 1000;

export interface GceProvider extends CloudProvider {
  /** For what is no part of Compute Engine: the IAP tunnel. Never into a log. */
  accessToken(signal?: AbortSignal): Promise<string>;
}

export function gceProvider(options: GceOptions = {}): GceProvider {
  const env = options.env ?? process.env;
  const now = options.now ?? Date.now;
  const sleep = options.sleep ?? ((ms, signal) => setTimeout(ms, undefined, { signal }).then(() => undefined));
  const endpoint = options.endpoint || env.TUNEYARD_GCE_ENDPOINT || undefined;
  const api = new Api({
    endpoint,
    credentialsFile: options.credentialsFile || undefined,
    env,
    log: options.log ?? (() => {}),
    firstPause: options.firstPause ?? 500,
    ...(options.pace !== undefined && { pace: options.pace }),
  });
  const waiting: Waiting = { api, sleep };
  const login = osLogin(api, endpoint);

  const at = ({ project, zone, name }: VmPlace) => ({ project, zone, instance: name });
  const doing = ({ project, zone }: VmPlace): Doing & { zone: string } => ({ project, zone });

  /** undefined where there is none. */
  async function find<Answer>(place: VmPlace, ask: Ask<[Answer, ...unknown[]]>, signal?: AbortSignal) {
    try {
      const [found] = await api.call(doing(place), ask, { signal });
      return found;
    } catch (error) {
      if (error instanceof TuneyardError && error.code === 'vm_not_found') return undefined;
      throw error;
    }
  }

  async function instance(place: VmPlace, signal?: AbortSignal): Promise<Instance> {
    const [found] = await api.call(doing(place), (google, limits) => google.instances.get(at(place), limits), {
      signal,
    });
    return found;
  }

  async function vm(place: VmPlace, signal?: AbortSignal): Promise<CloudVm> {
    return viewed(place, await instance(place, signal), signal);
  }

  /** Google marks no VM as preempted: the operation that ended it tells. */
  async function viewed(place: VmPlace, found: Instance, signal?: AbortSignal): Promise<CloudVm> {
    const seen = cloudVm(place.project, found);
    if (seen.provisioningModel !== 'SPOT' || !['STOPPING', 'TERMINATED'].includes(seen.state)) return seen;
    const since = Date.parse(seen.lastStart ?? '') || 0;
    const operations = await operationsOn(place, seen.id, signal);
    const preempted = operations.some(
      ({ operationType, insertTime }) => operationType === PREEMPTED && Date.parse(insertTime ?? '') >= since,
    );
    return { ...seen, preempted };
  }

  /** Google keeps them for some days, those on VMs that are gone as well. */
  async function operationsOn({ project, zone }: VmPlace, id: string, signal?: AbortSignal): Promise<Operation[]> {
    const request = { project, zone, filter: `targetId = ${id}` };
    return api.call(
      { project, zone },
      async (google, limits) => {
        const found: Operation[] = [];
        for await (const operation of google.zoneOperations.listAsync(request, limits)) found.push(operation);
        return found;
      },
      { signal },
    );
  }

  function labelFilter(labels: Record<string, string>): string {
    return Object.entries(labels)
      .map(([key, value]) => `(labels.${key} = "${value}")`)
      .join(' ');
  }

  /** Of all zones, complete: one that does not answer is an error, for what is in it would count as gone. */
  async function listed<Kind extends 'instances' | 'disks' | 'addresses'>(
    kind: Kind,
    project: string,
    labels: Record<string, string>,
    signal?: AbortSignal,
  ): Promise<Listed[Kind][]> {
    const request = { project, filter: labelFilter(labels), returnPartialSuccess: false };
    return api.call(
      { project },
      async (google, limits) => {
        const found: Listed[Kind][] = [];
        for await (const [, scoped] of google[kind].aggregatedListAsync(request, limits)) {
          found.push(...((scoped as { [Key in Kind]?: Listed[Kind][] | null })[kind] ?? []));
        }
        return found;
      },
      { signal },
    );
  }

  return {
    id: 'gce',

    accessToken: (signal) => api.accessToken(signal),
    importSshKey: login.importKey,
    renewSshKey: login.renewKey,
    deleteSshKey: login.deleteKey,

    async identity(signal) {
      const identity = await api.identity();
      await api.accessToken(signal);
      return identity;
    },

    async project(project, signal) {
      if (!project) throw projectMissing();
      const [found] = await api.call({ project }, (google, limits) => google.projects.get({ project }, limits), {
        signal,
      });
      const isOn = (name: string) => {
        const item = found.commonInstanceMetadata?.items?.find(({ key }) => key === name);
        return /^(true|y|yes|1)$/i.test(item?.value ?? '');
      };
      return {
        project: found.name || project,
        osLogin: isOn('enable-oslogin'),
        asksForMore: isOn('enable-oslogin-2fa') || isOn('enable-oslogin-sk'),
        ...(found.defaultServiceAccount ? { defaultServiceAccount: found.defaultServiceAccount } : {}),
      };
    },

    async offers(query, signal) {
      if (!query.project) throw projectMissing();
      return readOffers(api, query, withOwnPrices(options.prices), signal);
    },

    async image(imageProject, family, signal) {
      const request = { project: imageProject, family };
      const [image] = await api.call(
        { project: imageProject },
        (google, limits) => google.images.getFromFamily(request, limits),
        {
          signal,
        },
      );
      return `projects/${imageProject}/global/images/${image.name}`;
    },

    async insert(spec, signal) {
      const { project, zone, requestId } = spec;
      const request = { project, zone, requestId, instanceResource: instanceResource(spec) };
      const context = { ...doing(spec), machineType: spec.machineType, diskType: spec.disk.type };
      await operate(waiting, context, (google, limits) => google.instances.insert(request, limits), signal);
      return vm(spec, signal);
    },

    async get(place, signal) {
      const found = await find(place, (google, limits) => google.instances.get(at(place), limits), signal);
      return found && viewed(place, found, signal);
    },

    async list(project, labels, signal) {
      const found = await listed('instances', project, labels, signal);
      // A filter that is not understood would show other people's VMs.
      const ours = ({ labels: own }: Instance) => Object.entries(labels).every(([key, value]) => own?.[key] === value);
      return found.filter(ours).map((instance) => cloudVm(project, instance));
    },

    async deletedAt(place, id, signal) {
      const done = (await operationsOn(place, id, signal)).filter(
        (operation) => operation.status === 'DONE' && !faultOfOperation(operation),
      );
      // Google's own (preemption, time limit) have many names; where a person deleted it, that was the last.
      const deletions = done.filter(({ operationType }) => operationType === 'delete');
      const ends =
        deletions.length > 0 ? deletions : done.filter(({ operationType }) => operationType?.startsWith(BY_GOOGLE));
      const times = ends.map(({ endTime }) => Date.parse(endTime ?? '')).filter((time) => time > 0);
      return times.length > 0 ? new Date(Math.max(...times)).toISOString() : undefined;
    },

    async delete(place, requestId, signal) {
      const request = { ...at(place), requestId };
      await operate(waiting, doing(place), (google, limits) => google.instances.delete(request, limits), signal);
    },

    async stop(place, requestId, signal) {
      const request = { ...at(place), requestId };
      await operate(waiting, doing(place), (google, limits) => google.instances.stop(request, limits), signal);
      return vm(place, signal);
    },

    async start(place, requestId, signal) {
      const request = { ...at(place), requestId };
      await operate(waiting, doing(place), (google, limits) => google.instances.start(request, limits), signal);
      return vm(place, signal);
    },

    async setMetadata(place, changes, signal) {
      for (let attempt = 1; ; attempt++) {
        const { metadata } = await instance(place, signal);
        const request = { ...at(place), requestId: randomUUID(), metadataResource: changed(metadata, changes) };
        try {
          return await operate(
            waiting,
            doing(place),
            (google, limits) => google.instances.setMetadata(request, limits),
            signal,
          );
        } catch (error) {
          const faster = error instanceof TuneyardError && error.data.reason === 'fingerprint';
          if (!faster || attempt === FINGERPRINT_ATTEMPTS) throw error;
          await sleep(200 * attempt, signal);
          if (signal?.aborted) throw cancelled();
        }
      }
    },

    async setTerminationTime(place, time, signal) {
      const found = await instance(place, signal);
      const seconds = Math.ceil((Date.parse(time) - now()) / 1000);
      if (!(seconds >= SHORTEST_RUN && seconds <= LONGEST_RUN)) {
        const sentence = l10n.t('A VM runs for 30 seconds to 120 days: choose a time in between.');
        throw new TuneyardError('cloud_invalid', sentence, { data: { reason: 'time' } });
      }
      // Counted from its next start; Google does not change it while the VM runs, and says so.
      const schedulingResource = withTimeLimit(found, seconds);
      const request = { ...at(place), requestId: randomUUID(), schedulingResource };
      await operate(waiting, doing(place), (google, limits) => google.instances.setScheduling(request, limits), signal);
      return vm(place, signal);
    },

    async serialOutput(place, from, signal) {
      const request = { ...at(place), port: 1, start: from };
      const [{ contents, next }] = await api.call(
        doing(place),
        (google, limits) => google.instances.getSerialPortOutput(request, limits),
        { signal },
      );
      return { text: contents ?? '', next: Number(next ?? from) };
    },

    async guestAttributes(place, path, signal) {
      const request = { ...at(place), queryPath: path };
      const found = await find(place, (google, limits) => google.instances.getGuestAttributes(request, limits), signal);
      const items = found?.queryValue?.items ?? [];
      return Object.fromEntries(items.map(({ key, value }) => [key ?? '', value ?? '']));
    },

    async leftovers(project, name, signal) {
      const labels = { 'tuneyard-vm': name };
      const [disks, addresses] = await Promise.all([
        listed('disks', project, labels, signal),
        listed('addresses', project, labels, signal),
      ]);
      return { disks: disks.map((disk) => disk.name), addresses: addresses.map((address) => address.name) };
    },

    async deleteDisk({ project, zone, name }, requestId, signal) {
      const request = { project, zone, disk: name, requestId };
      try {
        await operate(waiting, { project, zone }, (google, limits) => google.disks.delete(request, limits), signal);
      } catch (error) {
        if (!(error instanceof TuneyardError && error.data.http === 404)) throw error;
      }
    },

    async snapshot({ project, zone, name }, snapshot, labels, requestId, signal) {
      const request = { project, zone, disk: name, requestId, snapshotResource: { name: snapshot, labels } };
      await operate(
        waiting,
        { project, zone },
        (google, limits) => google.disks.createSnapshot(request, limits),
        signal,
      );
    },

    async deleteSnapshot(project, snapshot, requestId, signal) {
      const on = { project, snapshot };
      try {
        await api.call({ project }, (google, limits) => google.snapshots.delete({ ...on, requestId }, limits), {
          signal,
        });
        const until = performance.now() + SNAPSHOT_GONE_MS;
        while (performance.now() < until) {
          await api.call({ project }, (google, limits) => google.snapshots.get(on, limits), { signal });
          await sleep(SNAPSHOT_LOOK_MS, signal);
        }
      } catch (error) {
        if (error instanceof TuneyardError && error.data.http === 404) return;
        throw error;
      }
      const what = l10n.t('The snapshot {0} is still there: delete it on the page of snapshots.', snapshot);
      throw new TuneyardError('timed_out', what, { data: on });
    },
  };
}

function changed(metadata: Metadata | null | undefined, changes: Record<string, string | undefined>): Metadata {
  const kept = (metadata?.items ?? []).filter(({ key }) => !(key && key in changes));
  const added = Object.entries(changes).flatMap(([key, value]) => (value === undefined ? [] : [{ key, value }]));
  return { fingerprint: metadata?.fingerprint ?? null, items: [...kept, ...added] };
}
