/**
 * From what a person has confirmed to a VM that is ready, or to nothing at all. The record is written before anything is
 * asked for, each insert before it is sent; whatever fails, what may exist is deleted and looked for.
 */
import { randomBytes, randomUUID } from 'node:crypto';
import type { CreateVm, MachineOffer } from '@protocol/cloud';
import { TuneyardError } from '@protocol/errors';
import * as l10n from '@vscode/l10n';
import { ratesOf } from './cost';
import { regionOf } from './gce/instances';
import { keyExpiry, sshKeysItem, vmKey } from './keys';
import { asFailure, enter, type Life } from './life';
import type { CloudVm, ProjectFacts, VmSpec } from './provider';
import { makeReady } from './ready';
import { removeAll } from './remove';
import { startupMetadata, terminationActionOf, watchdogSettings } from './startup';
import { checkRunSeconds, maxRunSeconds } from './timeLimit';
import {
  asLabel,
  DEFAULT_DISK_GB,
  DEFAULT_DISK_TYPE,
  type InsertAttempt,
  isSame,
  labelsOf,
  noteSeen,
  placeOf,
  type VmOrigin,
  type VmRecord,
} from './vmRecord';

const DEFAULT_IMAGE = { project: 'deeplearning-platform-release', family: 'common-cu129-ubuntu-2204-nvidia-580' };
const DEFAULT_RUN_SECONDS = 12 * 3600;
/** Who cancels while an insert is on its way waits so long for its answer: what it made can be deleted at once then. */
const ANSWER_MS = 15_000;
/** Google remembers requests for an hour; one that is repeated later may make a second VM. */
const REPEATABLE_MS = 45 * 60_000;
const REPEATS = 3;
const SCOPES = ['https://www.googleapis.com/auth/cloud-platform'];
/** After these nothing was made. */
const NOTHING_MADE = new Set(['cloud_stockout', 'cloud_quota', 'cloud_billing', 'cloud_invalid']);

/** Asks what has to be known beforehand. Nothing exists yet, and nothing is written. */
export async function plan(
  life: Life,
  confirmed: CreateVm,
  { origin, signal }: { origin?: VmOrigin; signal?: AbortSignal } = {},
): Promise<VmRecord> {
  const { provider } = life;
  const create: CreateVm = {
    ...confirmed,
    name: confirmed.name ?? `tuneyard-${randomBytes(2).toString('hex').slice(0, 3)}`,
    disk_gb: confirmed.disk_gb ?? DEFAULT_DISK_GB,
    disk_type: confirmed.disk_type ?? DEFAULT_DISK_TYPE,
    idle_minutes: confirmed.idle_minutes ?? 30,
  };
  const name = create.name as string;
  const seconds = create.max_run_seconds ?? DEFAULT_RUN_SECONDS;
  check(create, name, seconds);
  life.log(`${name}: checking project ${create.project}`);
  const identity = await provider.identity(signal);
  const facts = await provider.project(create.project, signal);
  if (facts.osLogin) checkLogin(facts);
  const offer = await offerOf(life, create, signal);
  const image = origin?.snapshot
    ? ''
    : await provider.image(
        create.image_project ?? DEFAULT_IMAGE.project,
        create.image_family ?? DEFAULT_IMAGE.family,
        signal,
      );
  const now = life.now();
  return {
    key: name,
    id: randomUUID(),
    name,
    project: create.project,
    owner: asLabel(identity.account ?? life.user),
    create,
    ...(origin && { origin }),
    ...(offer && { gpu: offer.gpu }),
    image,
    user: life.user,
    written: now,
    delete_at: now + seconds * 1000,
    max_run_seconds: maxRunSeconds(seconds),
    doing: { what: 'creating', since: now },
    stage: 'checking',
    stage_since: now,
    attempts: [],
    os_login: facts.osLogin,
    ...serviceAccount(create, facts),
    ran: [],
  };
}

function check(create: CreateVm, name: string, seconds: number): void {
  if (!/^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$/.test(name)) {
    throw invalid(
      'name',
      l10n.t('"{0}" cannot be the name of a VM: up to 63 lower-case letters, digits and "-", a letter first.', name),
    );
  }
  checkRunSeconds(seconds);
  if (create.zones.length === 0) throw invalid('zones', l10n.t('No zone was named to make {0} in.', name));
}

const invalid = (reason: string, sentence: string) =>
  new TuneyardError('cloud_invalid', sentence, { data: { reason } });

/** What is known of the machine; refused where no region's quota allows it. Some types are offered nowhere, and may exist. */
async function offerOf(life: Life, create: CreateVm, signal?: AbortSignal): Promise<MachineOffer | undefined> {
  const regions = [...new Set(create.zones.map(regionOf))];
  const offers = await life.provider.offers({ project: create.project, regions }, signal);
  const isIt = ({ machine_type, provisioning_model, gpu, region }: MachineOffer) =>
    machine_type === create.machine_type &&
    provisioning_model === create.provisioning_model &&
    regions.includes(region) &&
    (!create.accelerator || (gpu.type === create.accelerator.type && gpu.count === create.accelerator.count));
  const mine = offers.filter(isIt);
  const short = mine.map(({ quota }) => quota).filter((quota) => quota !== undefined);
  const [first] = short;
  if (first && short.length === mine.length) {
    throw new TuneyardError(
      'cloud_quota',
      l10n.t(
        'The quota {0} of project {1} allows {2} in {3}, {4} are in use, and {5} more are needed: ask for more at {6}',
        first.metric,
        create.project,
        first.limit,
        first.region,
        first.usage,
        first.needed,
        first.url,
      ),
      { data: { ...first } },
    );
  }
  return mine[0];
}

/** @throws where a program cannot log in */
function checkLogin({ project, asksForMore }: ProjectFacts): void {
  if (!asksForMore) return;
  throw invalid(
    'os_login',
    l10n.t(
      'Project {0} asks for a second factor or a security key at each login (OS Login), which a program cannot give: use another project.',
      project,
    ),
  );
}

function serviceAccount(create: CreateVm, facts: ProjectFacts): { service_account?: string } {
  const wanted = create.service_account ?? 'none';
  if (wanted === 'none') return {};
  if (wanted !== 'default') return { service_account: wanted };
  if (facts.defaultServiceAccount) return { service_account: facts.defaultServiceAccount };
  throw invalid(
    'service_account',
    l10n.t('Project {0} has no default service account: name one, or choose none.', create.project),
  );
}

/**
 * Makes it, from wherever it was broken off; its lock is held.
 * @throws what went wrong, when all that there was of it is gone; where that is not certain, the error's data has `left`
 */
export async function carryOut(life: Life, record: VmRecord, signal?: AbortSignal): Promise<void> {
  try {
    await place(life, record, signal);
    await makeReady(life, record, signal);
    delete record.doing;
    await life.save(record);
  } catch (error) {
    throw await undo(life, record, asFailure(error));
  }
}

/** Deletes what there may be of it, and says why. */
async function undo(life: Life, record: VmRecord, failure: TuneyardError): Promise<TuneyardError> {
  record.problem = failure.message;
  record.doing = { what: 'deleting', since: life.now(), how: 'failed' };
  try {
    await life.save(record);
    await removeAll(life, record, { how: 'failed' });
    return failure;
  } catch (error) {
    const { message } = asFailure(error);
    const sentence = l10n.t(
      '{0} What there is of {1} could not be deleted for certain: {2} It is tried again; look at zone {3} of project {4}.',
      failure.what,
      record.name,
      message,
      record.zone ?? record.create.zones.join(', '),
      record.project,
    );
    record.problem = sentence;
    await life.save(record).catch(() => {});
    return new TuneyardError(failure.code, sentence, { data: { ...failure.data, left: true }, cause: failure });
  }
}

/** One instance, in the first zone that has one to give. */
async function place(life: Life, record: VmRecord, signal?: AbortSignal): Promise<void> {
  if (record.instance_id !== undefined) return;
  const publicKey = await vmKey(life.ledger, record.key);
  if (record.os_login) await importKey(life, record, publicKey, signal);
  const closed = new Set(record.attempts.filter(({ outcome }) => outcome === 'nothing').map(({ zone }) => zone));
  let stockout: TuneyardError | undefined;
  for (const zone of record.create.zones) {
    if (closed.has(zone)) continue;
    signal?.throwIfAborted();
    const attempt = await attemptIn(life, record, zone);
    const text = stockout
      ? l10n.t('{0} Trying {1}.', stockout.message, zone)
      : l10n.t('Asking for {0} in {1}.', record.create.machine_type, zone);
    await enter(life, record, 'creating', text);
    try {
      const vm = await insert(life, record, attempt, specOf(life, record, attempt, publicKey), signal);
      attempt.outcome = 'made';
      noteSeen(record, vm);
      await life.save(record);
      return;
    } catch (error) {
      if (!(error instanceof TuneyardError && error.code === 'cloud_stockout' && attempt.outcome === 'nothing'))
        throw error;
      stockout = error;
      await life.save(record);
    }
  }
  const zones = record.create.zones.join(', ');
  throw new TuneyardError(
    'cloud_stockout',
    l10n.t(
      'Google has no {0} left at the moment in any of the zones {1}: try again later, other zones, or another machine.',
      record.create.machine_type,
      zones,
    ),
    { cause: stockout, data: { zones: record.create.zones } },
  );
}

/** Into the login profile, which gives the account's name on the VM; in the record before anything is made. */
async function importKey(life: Life, record: VmRecord, publicKey: string, signal?: AbortSignal): Promise<void> {
  const until = keyExpiry(record.written + record.max_run_seconds * 1000);
  const { user, account, fingerprint } = await life.provider.importSshKey(record.project, publicKey, until, signal);
  record.user = user;
  record.login_key = { account, fingerprint };
  await life.save(record);
  const text = l10n.t(
    'Project {0} uses OS Login: {1} logs in to {2} as {3}.',
    record.project,
    account,
    record.name,
    user,
  );
  life.tell(record, 'checking', text);
}

/** The one that was broken off there, or a new one; in the record before it is sent. */
async function attemptIn(life: Life, record: VmRecord, zone: string): Promise<InsertAttempt> {
  const open = record.attempts.find((each) => each.zone === zone && each.outcome === undefined);
  const attempt = open ?? { zone, request_id: randomUUID(), at: life.now() };
  if (!open) record.attempts.push(attempt);
  record.zone = zone;
  const { machine_type, accelerator, provisioning_model, disk_type = DEFAULT_DISK_TYPE } = record.create;
  const { prices } = life;
  const rates = ratesOf({
    machine_type,
    accelerator,
    provisioning_model,
    region: regionOf(zone),
    disk_type,
    ...(prices && { prices }),
  });
  if ('missing' in rates) delete record.rates;
  else record.rates = rates;
  await life.save(record);
  return attempt;
}

async function insert(
  life: Life,
  record: VmRecord,
  attempt: InsertAttempt,
  spec: VmSpec,
  signal?: AbortSignal,
): Promise<CloudVm> {
  const { provider, now, log } = life;
  const soon = withDelay(signal, ANSWER_MS);
  try {
    for (let repeat = 1; ; repeat++) {
      // Somebody else's VM of this name, or our own of an attempt that was broken off
      if (now() - attempt.at > REPEATABLE_MS || repeat > 1) {
        const there = await provider.get(spec, soon.signal).catch(() => undefined);
        if (there && isSame(record, there)) return there;
        if (now() - attempt.at > REPEATABLE_MS) {
          throw new TuneyardError(
            'timed_out',
            l10n.t('Making {0} was broken off too long ago to go on with it.', record.name),
          );
        }
      }
      try {
        return await provider.insert(spec, soon.signal);
      } catch (error) {
        const failure = asFailure(error);
        log(`${record.name}: ${failure.message}`);
        const exists = failure.data.reason === 'exists';
        const there = await provider.get(spec).catch(() => undefined);
        if (there && isSame(record, there)) return there;
        if (NOTHING_MADE.has(failure.code) && (!exists || there)) {
          attempt.outcome = 'nothing';
          throw failure;
        }
        if (
          signal?.aborted ||
          repeat === REPEATS ||
          !['cloud_failed', 'timed_out', 'cloud_invalid'].includes(failure.code)
        )
          throw failure;
        await life.sleep(1000 * repeat, signal);
      }
    }
  } finally {
    soon.dispose();
  }
}

/** Aborts so much later than the other. */
function withDelay(signal: AbortSignal | undefined, ms: number): { signal: AbortSignal; dispose(): void } {
  const controller = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const begin = () => {
    timer = setTimeout(() => controller.abort(signal?.reason), ms);
  };
  if (signal?.aborted) begin();
  else signal?.addEventListener('abort', begin, { once: true });
  return {
    signal: controller.signal,
    dispose: () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', begin);
    },
  };
}

/** What keeps it safe is in it from its first second. */
function specOf(life: Life, record: VmRecord, attempt: InsertAttempt, publicKey: string): VmSpec {
  const { create, origin, user } = record;
  const labels = labelsOf(record, life.version);
  const settings = watchdogSettings(record.name, create, labels, origin?.resume);
  return {
    ...placeOf(record, attempt.zone),
    requestId: attempt.request_id,
    machineType: create.machine_type,
    ...(create.accelerator && { accelerator: create.accelerator }),
    provisioningModel: create.provisioning_model,
    maxRunSeconds: record.max_run_seconds,
    disk: { sizeGb: create.disk_gb ?? DEFAULT_DISK_GB, type: create.disk_type ?? DEFAULT_DISK_TYPE },
    image: record.image,
    ...(origin?.snapshot && { sourceSnapshot: origin.snapshot }),
    terminationAction: terminationActionOf(create),
    labels,
    metadata: {
      ...startupMetadata(settings, {
        user,
        deleteAt: new Date(record.delete_at).toISOString(),
        getsRunner: life.runner !== undefined,
      }),
      ...(record.os_login
        ? { 'enable-oslogin': 'TRUE' }
        : { 'ssh-keys': sshKeysItem(user, publicKey, record.written + record.max_run_seconds * 1000) }),
      'block-project-ssh-keys': 'TRUE',
      ...(record.gpu && { 'install-nvidia-driver': 'True' }),
    },
    ...(create.network && { network: create.network }),
    ...(create.subnetwork && { subnetwork: create.subnetwork }),
    externalAddress: create.address !== 'iap',
    ...(record.service_account && { serviceAccount: { email: record.service_account, scopes: SCOPES } }),
  };
}
