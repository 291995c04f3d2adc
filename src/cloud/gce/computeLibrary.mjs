/**
 * All of Google's code that is used, and nothing beside it: the clients of its REST API, its transport without gRPC, and
 * the finding of credentials. Heavy: loaded with the first request; a bundle of its own (`dist/gce.cjs`).
 */
import { AcceleratorTypesClient } from '@google-cloud/compute/build/src/v1/accelerator_types_client.js';
import { AddressesClient } from '@google-cloud/compute/build/src/v1/addresses_client.js';
import { DisksClient } from '@google-cloud/compute/build/src/v1/disks_client.js';
import { ImagesClient } from '@google-cloud/compute/build/src/v1/images_client.js';
import { InstancesClient } from '@google-cloud/compute/build/src/v1/instances_client.js';
import { MachineTypesClient } from '@google-cloud/compute/build/src/v1/machine_types_client.js';
import { ProjectsClient } from '@google-cloud/compute/build/src/v1/projects_client.js';
import { RegionsClient } from '@google-cloud/compute/build/src/v1/regions_client.js';
import { SnapshotsClient } from '@google-cloud/compute/build/src/v1/snapshots_client.js';
import { ZoneOperationsClient } from '@google-cloud/compute/build/src/v1/zone_operations_client.js';
import { Compute, GoogleAuth, gaxios, JWT, UserRefreshClient } from 'google-auth-library';
import * as fallback from 'google-gax/fallback';

export { Compute, GoogleAuth, gaxios, JWT, UserRefreshClient };

export const CLIENTS = {
  acceleratorTypes: AcceleratorTypesClient,
  addresses: AddressesClient,
  disks: DisksClient,
  images: ImagesClient,
  instances: InstancesClient,
  machineTypes: MachineTypesClient,
  projects: ProjectsClient,
  regions: RegionsClient,
  snapshots: SnapshotsClient,
  zoneOperations: ZoneOperationsClient,
};

/** Each client hashes its message definitions to find them again: megabytes of JSON. They are one object: that is enough. */
const roots = new WeakMap();
class GrpcClient extends fallback.GrpcClient {
  loadProtoJSON(json) {
    if (!roots.has(json)) roots.set(json, this.loadProto(json));
    return roots.get(json);
  }
}

/** Given to the clients in place of all of google-gax. */
export const TRANSPORT = { fallback: { ...fallback, GrpcClient } };
