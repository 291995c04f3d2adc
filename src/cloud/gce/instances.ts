/** A VM in Google's words and in ours. */
import type { VmState } from '@protocol/cloud';
import type { CloudVm, VmSpec } from '../provider';
import type { Instance, InstanceResource, Scheduling } from './messages';

/** What is sent to make a VM: all that keeps it safe is in it. */
export function instanceResource(spec: VmSpec): InstanceResource {
  const { zone } = spec;
  const { accelerator, serviceAccount } = spec;
  const spot = spec.provisioningModel === 'SPOT';
  return {
    name: spec.name,
    machineType: `zones/${zone}/machineTypes/${spec.machineType}`,
    labels: spec.labels,
    metadata: { items: Object.entries(spec.metadata).map(([key, value]) => ({ key, value })) },
    disks: [
      {
        boot: true,
        autoDelete: true,
        initializeParams: {
          ...(spec.sourceSnapshot
            ? { sourceSnapshot: `global/snapshots/${spec.sourceSnapshot}` }
            : { sourceImage: spec.image }),
          diskSizeGb: spec.disk.sizeGb,
          diskType: `zones/${zone}/diskTypes/${spec.disk.type}`,
          // A disk that is left behind is found by them.
          labels: spec.labels,
        },
      },
    ],
    networkInterfaces: [
      {
        ...networkOf(spec),
        ...(spec.externalAddress ? { accessConfigs: [{ name: 'External NAT', type: 'ONE_TO_ONE_NAT' }] } : {}),
      },
    ],
    scheduling: {
      // A GPU cannot move to another machine while it works.
      onHostMaintenance: 'TERMINATE',
      automaticRestart: !spot,
      provisioningModel: spec.provisioningModel,
      instanceTerminationAction: spec.terminationAction ?? 'DELETE',
      maxRunDuration: { seconds: spec.maxRunSeconds },
    },
    ...(accelerator
      ? {
          guestAccelerators: [
            {
              acceleratorType: `zones/${zone}/acceleratorTypes/${accelerator.type}`,
              acceleratorCount: accelerator.count,
            },
          ],
        }
      : {}),
    ...(serviceAccount ? { serviceAccounts: [serviceAccount] } : {}),
  };
}

/** A name, or Google's path to one in another project. */
function networkOf({ zone, network, subnetwork }: VmSpec): { network?: string; subnetwork?: string } {
  const path = (name: string, folder: string) => (name.includes('/') ? name : `${folder}/${name}`);
  if (subnetwork) {
    const at = path(subnetwork, `regions/${regionOf(zone)}/subnetworks`);
    return network ? { network: path(network, 'global/networks'), subnetwork: at } : { subnetwork: at };
  }
  return { network: path(network ?? 'default', 'global/networks') };
}

/** `us-central1-a` is in `us-central1`. */
export const regionOf = (zone: string): string => zone.replace(/-[a-z]+$/, '');

export function cloudVm(project: string, instance: Instance, preempted = false): CloudVm {
  const [network] = instance.networkInterfaces ?? [];
  const state = stateOf(instance.status ?? '');
  const terminationTime = terminationTimeOf(instance, state);
  const lastStart = utc(instance.lastStartTimestamp);
  const lastStop = utc(instance.lastStopTimestamp);
  const externalAddress = network?.accessConfigs?.[0]?.natIP;
  return {
    project,
    zone: last(instance.zone),
    name: instance.name ?? '',
    id: String(instance.id ?? ''),
    state,
    machineType: last(instance.machineType),
    provisioningModel: instance.scheduling?.provisioningModel === 'SPOT' ? 'SPOT' : 'STANDARD',
    labels: { ...instance.labels },
    created: utc(instance.creationTimestamp) ?? '',
    ...(lastStart ? { lastStart } : {}),
    ...(lastStop ? { lastStop } : {}),
    ...(terminationTime ? { terminationTime } : {}),
    ...(network?.networkIP ? { internalAddress: network.networkIP } : {}),
    ...(externalAddress ? { externalAddress } : {}),
    disks: (instance.disks ?? []).map((disk) => ({
      name: last(disk.source),
      sizeGb: Number(disk.diskSizeGb ?? 0),
      autoDelete: disk.autoDelete === true,
    })),
    preempted,
  };
}

const STATES: Record<string, VmState> = {
  PENDING: 'PROVISIONING',
  PROVISIONING: 'PROVISIONING',
  STAGING: 'STAGING',
  RUNNING: 'RUNNING',
  REPAIRING: 'PROVISIONING',
  PENDING_STOP: 'STOPPING',
  STOPPING: 'STOPPING',
  SUSPENDING: 'STOPPING',
  SUSPENDED: 'SUSPENDED',
  STOPPED: 'TERMINATED',
  TERMINATED: 'TERMINATED',
  DEPROVISIONING: 'DELETING',
};

/** One that is new here is not shown as something it may not be; it costs money all the same. */
const stateOf = (status: string): VmState => STATES[status] ?? 'RUNNING';

/** Google says it while the VM runs; else nothing ends it. */
function terminationTimeOf({ scheduling, resourceStatus, lastStartTimestamp }: Instance, state: VmState) {
  const said = resourceStatus?.scheduling?.terminationTimestamp || scheduling?.terminationTime;
  if (said) return utc(said);
  const seconds = Number(scheduling?.maxRunDuration?.seconds ?? 0);
  if (state !== 'RUNNING' || !seconds || !lastStartTimestamp) return undefined;
  return new Date(Date.parse(lastStartTimestamp) + seconds * 1000).toISOString();
}

/** All that a VM's scheduling says, with another time limit: the rest must not fall back to defaults. */
export function withTimeLimit({ scheduling }: Instance, seconds: number): Scheduling {
  const spot = scheduling?.provisioningModel === 'SPOT';
  return {
    onHostMaintenance: 'TERMINATE',
    automaticRestart: spot ? false : (scheduling?.automaticRestart ?? true),
    provisioningModel: spot ? 'SPOT' : 'STANDARD',
    instanceTerminationAction: scheduling?.instanceTerminationAction === 'STOP' ? 'STOP' : 'DELETE',
    maxRunDuration: { seconds },
  };
}

function utc(time: string | null | undefined): string | undefined {
  return time ? new Date(time).toISOString() : undefined;
}

const last = (path: string | null | undefined): string => path?.split('/').at(-1) ?? '';
