/** Google's refusals, word for word, through Google's own library: each says what to do, and where. */

import { type GceProvider, gceProvider } from '@host/cloud/gce/gceProvider';
import type { VmSpec } from '@host/cloud/provider';
import { TuneyardError } from '@protocol/errors';
import { afterEach, describe, expect, it } from 'vitest';
import { type Answer, type Answers, answers, refusal } from './gceAnswers';

const ZONE = 'us-central1-a';
const SPEC: VmSpec = {
  ...{ project: 'p', zone: ZONE, name: 'vm', requestId: '7d9d2b5e-39f5-4b26-b1a4-6d8c8a4f2a10' },
  ...{ machineType: 'g2-standard-24', provisioningModel: 'STANDARD', maxRunSeconds: 3600 },
  ...{ disk: { sizeGb: 200, type: 'pd-standard' }, image: 'projects/x/global/images/y' },
  ...{ labels: {}, metadata: {}, externalAddress: true },
};

let open: Answers | undefined;
afterEach(() => open?.close());

async function google(answer: Parameters<typeof answers>[0]): Promise<GceProvider> {
  open = await answers(answer);
  return gceProvider({ endpoint: open.endpoint, credentialsFile: open.keyFile, env: {}, firstPause: 1 });
}

/** What an insert fails with, where the request is refused or its operation ends so. */
async function refused(answer: Answer): Promise<TuneyardError> {
  const gce = await google(() => answer);
  return caught(gce.insert(SPEC));
}

async function caught(promise: Promise<unknown>): Promise<TuneyardError> {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(TuneyardError);
  return error as TuneyardError;
}

function failed(code: string, message: string, httpErrorStatusCode: number, httpErrorMessage: string): Answer {
  const error = { errors: [{ code, message }] };
  return { body: { name: 'op', status: 'DONE', error, httpErrorStatusCode, httpErrorMessage } };
}

describe('a person is told what to do when', () => {
  it.each<[string, Answer, string, string[]]>([
    [
      'a zone has no such machine left',
      failed(
        'ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS',
        `The zone 'projects/p/zones/${ZONE}' does not have enough resources available to fulfill the request.  '(resource type:compute)'.`,
        503,
        'SERVICE UNAVAILABLE',
      ),
      'cloud_stockout',
      [ZONE, 'g2-standard-24', 'another zone'],
    ],
    [
      'a zone is exhausted, in the other word',
      failed(
        'ZONE_RESOURCE_POOL_EXHAUSTED',
        `The zone 'projects/p/zones/${ZONE}' is exhausted.`,
        503,
        'SERVICE UNAVAILABLE',
      ),
      'cloud_stockout',
      [ZONE],
    ],
    [
      'a new project may use no GPU',
      failed('QUOTA_EXCEEDED', "Quota 'GPUS_ALL_REGIONS' exceeded.  Limit: 0.0 globally.", 403, 'FORBIDDEN'),
      'cloud_quota',
      ['GPUS_ALL_REGIONS', 'as is usual at first', 'iam-admin/quotas?project=p', 'gpus_all_regions'],
    ],
    [
      'a quota of the region is used up',
      failed('QUOTA_EXCEEDED', "Quota 'NVIDIA_L4_GPUS' exceeded.  Limit: 2.0 in region us-central1.", 403, 'FORBIDDEN'),
      'cloud_quota',
      ['NVIDIA_L4_GPUS', 'us-central1', 'limit 2', 'delete a VM'],
    ],
    [
      'the API is not enabled',
      refusal(
        403,
        'accessNotConfigured',
        'Compute Engine API has not been used in project 12 before or it is disabled.',
        [{ '@type': 'type.googleapis.com/google.rpc.ErrorInfo', reason: 'SERVICE_DISABLED', domain: 'googleapis.com' }],
      ),
      'cloud_permission',
      ['gcloud services enable compute.googleapis.com --project=p'],
    ],
    [
      'billing is off',
      refusal(
        403,
        'forbidden',
        'This API method requires billing to be enabled. Please enable billing on project #12 by visiting https://console.developers.google.com/billing/enable?project=12 then retry.',
      ),
      'cloud_billing',
      ['billing/linkedaccount?project=p'],
    ],
    [
      'a permission is missing',
      refusal(
        403,
        'forbidden',
        "Required 'compute.instances.create' permission for 'projects/p/zones/us-central1-a/instances/vm'",
      ),
      'cloud_permission',
      ['compute.instances.create', '--member=user:ada@example.com --role=roles/compute.instanceAdmin.v1'],
    ],
    [
      'the service account may not be used',
      refusal(
        400,
        'SERVICE_ACCOUNT_ACCESS_DENIED',
        "The user does not have access to service account 'robot@p.iam.gserviceaccount.com'.  User: 'ada@example.com'.",
      ),
      'cloud_permission',
      ['add-iam-policy-binding robot@p.iam.gserviceaccount.com', 'roles/iam.serviceAccountUser'],
    ],
    [
      'the organization forbids external addresses',
      failed(
        'CONDITION_NOT_MET',
        'Constraint constraints/compute.vmExternalIpAccess violated for project 12. Add instance projects/p/zones/us-central1-a/instances/vm to the constraint to use external IP with it.',
        412,
        'PRECONDITION FAILED',
      ),
      'cloud_permission',
      ['IAP tunnel'],
    ],
    [
      'the image is gone',
      refusal(
        404,
        'notFound',
        "The resource 'projects/deeplearning-platform-release/global/images/family/old' was not found",
      ),
      'cloud_invalid',
      ['family/old', 'deeplearning-platform-release', 'choose another'],
    ],
    [
      'the disk type does not go with the machine',
      refusal(400, 'badRequest', '[pd-standard] features are not compatible for creating instance.'),
      'cloud_invalid',
      ['g2-standard-24', 'pd-standard', 'pd-balanced'],
    ],
    [
      'the name is taken',
      refusal(409, 'alreadyExists', "The resource 'projects/p/zones/us-central1-a/instances/vm' already exists"),
      'cloud_invalid',
      ['The name vm is taken'],
    ],
    [
      'the zone has no such machine type',
      refusal(
        400,
        'invalid',
        "Invalid value for field 'resource.machineType': 'zones/us-central1-a/machineTypes/g2-standard-24'. Machine type with name 'g2-standard-24' does not exist in zone 'us-central1-a'.",
      ),
      'cloud_invalid',
      [ZONE, 'g2-standard-24'],
    ],
    [
      'there is no such project',
      refusal(404, 'notFound', "The resource 'projects/p' was not found"),
      'cloud_invalid',
      ['no project p'],
    ],
    [
      'the token is not accepted',
      refusal(401, 'authError', 'Invalid Credentials'),
      'cloud_credentials',
      ['gcloud auth application-default login'],
    ],
    [
      'Google has something new to say',
      refusal(400, 'invalid', "Invalid value for field 'resource.name': 'Vm'. Must be a match of regex"),
      'cloud_invalid',
      ["'resource.name'"],
    ],
  ])('%s', async (_, answer, code, words) => {
    const error = await refused(answer);
    expect(error.code).toBe(code);
    for (const word of words) expect(error.message).toContain(word);
    expect(error.message).not.toMatch(/\{\d\}|undefined|\[object/);
  });

  it('a VM is changed by somebody else all the time', async () => {
    const gce = await google(({ method }) =>
      method === 'GET'
        ? { body: { name: 'vm', metadata: { fingerprint: 'YQ==' } } }
        : refusal(412, 'conditionNotMet', 'Supplied fingerprint does not match current metadata fingerprint.'),
    );
    const error = await caught(
      gceProvider({ ...sameOptions(), sleep: async () => {} }).setMetadata(
        { project: 'p', zone: ZONE, name: 'vm' },
        { a: 'b' },
      ),
    );
    expect(error.message).toContain('Somebody else');
    expect(gce.id).toBe('gce');
  });

  it('its time limit is to be changed while it runs', async () => {
    const running = { name: 'vm', status: 'RUNNING', scheduling: { provisioningModel: 'STANDARD' } };
    const message = 'Max run duration cannot be changed while the instance is running.';
    const gce = await google(({ method }) => (method === 'GET' ? { body: running } : refusal(400, 'invalid', message)));
    const time = new Date(Date.now() + 3_600_000).toISOString();
    const error = await caught(gce.setTerminationTime({ project: 'p', zone: ZONE, name: 'vm' }, time));
    expect(error).toMatchObject({ code: 'cloud_invalid', data: { reason: 'running' } });
  });
});

function sameOptions() {
  return { endpoint: open!.endpoint, credentialsFile: open!.keyFile, env: {}, firstPause: 1 };
}

describe('what passes is waited out', () => {
  it('and never makes a second VM: each repetition is the same request', async () => {
    const troubles: Answer[] = [
      refusal(503, 'backendError', 'Backend Error'),
      undefined,
      refusal(429, 'rateLimitExceeded', 'Rate Limit Exceeded'),
      refusal(403, 'rateLimitExceeded', 'Rate Limit Exceeded'),
    ];
    const gce = await google(({ method, path }) => {
      if (method === 'POST' && path === `p/zones/${ZONE}/instances`) {
        return troubles.length > 0 ? troubles.shift() : { body: { name: 'op', status: 'RUNNING' } };
      }
      if (path.endsWith('/operations/op/wait')) return { body: { name: 'op', status: 'DONE' } };
      return { body: { id: '42', name: 'vm', status: 'RUNNING', zone: `zones/${ZONE}` } };
    });
    expect(await gce.insert(SPEC)).toMatchObject({ id: '42', state: 'RUNNING', zone: ZONE });
    const inserts = open!.asked.filter(({ method, path }) => method === 'POST' && path.endsWith('/instances'));
    expect(inserts).toHaveLength(5);
    expect(new Set(inserts.map(({ query, body }) => query.get('requestId') + body)).size).toBe(1);
    expect(inserts[0]!.query.get('requestId')).toBe(SPEC.requestId);
  });

  it('but not for ever: then it says so', async () => {
    const gce = await google(() => refusal(503, 'backendError', 'Backend Error'));
    const error = await caught(gce.get({ project: 'p', zone: ZONE, name: 'vm' }));
    expect(error).toMatchObject({ code: 'cloud_failed', data: { passing: true } });
    expect(open!.asked).toHaveLength(7);
  });

  it('and an operation is waited for through lost connections', async () => {
    let lost = 0;
    await google(({ path }) => {
      if (!path.endsWith('/wait')) return { body: { name: 'op', status: 'PENDING' } };
      return lost++ < 10 ? undefined : { body: { name: 'op', status: 'DONE' } };
    });
    const gce = gceProvider({ ...sameOptions(), sleep: async () => {} });
    await gce.delete({ project: 'p', zone: ZONE, name: 'vm' }, SPEC.requestId);
    expect(lost).toBe(11);
  });

  it('and a refusal is not repeated', async () => {
    const gce = await google(() => refusal(403, 'forbidden', "Required 'compute.instances.get' permission for 'x'"));
    await caught(gce.get({ project: 'p', zone: ZONE, name: 'vm' }));
    expect(open!.asked).toHaveLength(1);
  });
});

describe('whoever gives up', () => {
  it('is not kept waiting for an answer', async () => {
    const gce = await google(() => new Promise(() => {}));
    const stop = new AbortController();
    const asked = gce.get({ project: 'p', zone: ZONE, name: 'vm' }, stop.signal);
    setTimeout(() => stop.abort(), 50);
    expect((await caught(asked)).code).toBe('cancelled');
  });

  it('before it began sends nothing', async () => {
    const gce = await google(() => ({ body: {} }));
    const error = await caught(
      gce.delete({ project: 'p', zone: ZONE, name: 'vm' }, SPEC.requestId, AbortSignal.abort()),
    );
    expect(error.code).toBe('cancelled');
    expect(open!.asked).toEqual([]);
  });
});
