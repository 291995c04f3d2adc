/**
 * A VM is ready when it can be worked on: it runs, its SSH server is the one that the cloud vouches for, all of its GPUs
 * answer, and the runner is installed. Holds for a new one as for one that was started again with another address.
 */
import { randomBytes } from 'node:crypto';
import { TuneyardError } from '@protocol/errors';
import * as l10n from '@vscode/l10n';
import type { Host, HostPrompts } from '../hosts/host';
import { SshHost } from '../hosts/ssh/sshHost';
import { vmSettings } from '../hosts/ssh/vmSettings';
import { bindingCommand, OS_LOGIN_ROLE } from './gce/errors';
import { hostKeysFrom, sshOf, writeKnownHosts } from './keys';
import { enter, type Life, until } from './life';
import { isSame, noteSeen, placeOf, type VmRecord } from './vmRecord';

const MINUTE = 60_000;
const BOOT_MS = 10 * MINUTE;
const HOST_KEY_MS = 10 * MINUTE;
const CONNECT_MS = 10 * MINUTE;
/** A VM that boots does not know its users yet; after this long it is not going to. */
const ROLE_MS = 2 * MINUTE;
/** Drivers are downloaded and compiled, and the VM boots again. */
const DRIVER_MS = 25 * MINUTE;
const LOOK_MS = 3000;
const INSTALL_ATTEMPTS = 4;

/** A VM's key opens it and its host keys are known: there is nothing to ask. */
const NO_QUESTIONS: HostPrompts = {
  trustHostKey: async () => undefined,
  passphrase: async () => undefined,
  password: async () => undefined,
  answers: async () => undefined,
};

export async function makeReady(life: Life, record: VmRecord, signal?: AbortSignal): Promise<void> {
  await waitForBoot(life, record, signal);
  await learnHostKeys(life, record, signal);
  const host = new SshHost({
    name: record.name,
    route: () => [vmSettings(sshOf(life.ledger, record, { port: life.sshPort, tunnel: life.tunnel })!)],
    prompts: NO_QUESTIONS,
    log: life.log,
  });
  try {
    await connect(life, record, host, signal);
    await waitForGpus(life, record, host, signal);
    await install(life, record, host, signal);
  } finally {
    host.dispose();
  }
  record.reached = true;
  delete record.problem;
  await enter(life, record, 'ready', l10n.t('{0} is ready.', record.name));
}

async function waitForBoot(life: Life, record: VmRecord, signal?: AbortSignal): Promise<void> {
  await enter(life, record, 'booting', l10n.t('{0} boots in {1}.', record.name, record.zone ?? ''));
  await until(life, () => look(life, record, signal), {
    ms: BOOT_MS,
    everyMs: LOOK_MS,
    ...(signal && { signal }),
    sentence: () => l10n.t('{0} does not run after {1} minutes.', record.name, BOOT_MS / MINUTE),
  });
}

async function look(life: Life, record: VmRecord, signal?: AbortSignal): Promise<true | undefined> {
  const vm = await life.provider.get(placeOf(record), signal);
  if (!vm || !isSame(record, vm)) {
    throw new TuneyardError('vm_not_found', l10n.t('{0} is gone: somebody else has deleted it.', record.name));
  }
  noteSeen(record, vm);
  await life.save(record);
  if (vm.state === 'TERMINATED' || vm.state === 'STOPPING') {
    const why = vm.preempted
      ? l10n.t('{0} was taken away by Google while it was being made ready: try again, or without spot.', record.name)
      : l10n.t(
          '{0} was stopped while it was being made ready: look at its console output, then try again.',
          record.name,
        );
    throw new TuneyardError('cloud_invalid', why, { data: { reason: 'stopped' } });
  }
  return vm.state === 'RUNNING' && record.address !== undefined ? true : undefined;
}

/** Only what the cloud vouches for is trusted; a VM that says nothing of its keys is not connected to. */
async function learnHostKeys(life: Life, record: VmRecord, signal?: AbortSignal): Promise<void> {
  await enter(life, record, 'host_key', l10n.t('Waiting until {0} tells its host keys.', record.name));
  const { provider, ledger } = life;
  const place = placeOf(record);
  const keys = await until(
    life,
    async () => {
      const attributes = await provider.guestAttributes(place, 'hostkeys/', signal);
      const told = hostKeysFrom(attributes);
      if (told.length > 0) return told;
      const { text } = await provider.serialOutput(place, 0, signal);
      const printed = hostKeysFrom({}, text);
      return printed.length > 0 ? printed : undefined;
    },
    {
      ms: HOST_KEY_MS,
      everyMs: LOOK_MS,
      ...(signal && { signal }),
      sentence: () =>
        l10n.t(
          '{0} has told no host key, neither as a guest attribute nor on its serial port: its image lacks the guest agent of Google. Choose another image.',
          record.name,
        ),
    },
  );
  await writeKnownHosts(ledger, record, life.sshPort ?? 22, keys);
}

async function connect(life: Life, record: VmRecord, host: Host, signal?: AbortSignal): Promise<void> {
  await enter(life, record, 'connecting', l10n.t('Connecting to {0}.', record.name));
  let refusedSince: number | undefined;
  const attempt = async () => {
    try {
      return await host.connect(signal).then(() => true);
    } catch (error) {
      if (!(error instanceof TuneyardError && error.code === 'auth_failed' && record.login_key)) throw error;
      refusedSince ??= life.now();
      if (life.now() - refusedSince < ROLE_MS) throw error;
      throw notLetIn(record, record.login_key.account);
    }
  };
  await until(life, attempt, {
    ms: CONNECT_MS,
    everyMs: LOOK_MS,
    ...(signal && { signal }),
    sentence: () =>
      l10n.t(
        '{0} cannot be reached over SSH after {1} minutes: does a firewall of network {2} let port 22 in?',
        record.name,
        CONNECT_MS / MINUTE,
        record.create.network ?? 'default',
      ),
  });
}

/** OS Login lets in whom a role allows it, whatever keys there are. */
function notLetIn({ name, project }: VmRecord, account: string): TuneyardError {
  const command = bindingCommand(project, account, OS_LOGIN_ROLE);
  const sentence = l10n.t(
    '{0} does not let {1} in, though its key is in the login profile: have "{2}" run.',
    name,
    account,
    command,
  );
  return new TuneyardError('cloud_permission', sentence, {
    data: { reason: 'os_login', role: OS_LOGIN_ROLE, command },
  });
}

/** The driver's installation reboots the VM: a connection that breaks meanwhile is made again. */
async function waitForGpus(life: Life, record: VmRecord, host: Host, signal?: AbortSignal): Promise<void> {
  const { gpu, name } = record;
  if (!gpu) return;
  await enter(life, record, 'driver', l10n.t("Waiting for NVIDIA's driver on {0}.", name));
  let seen = 0;
  const query = ['nvidia-smi', '--query-gpu=name', '--format=csv,noheader'];
  await until(
    life,
    async () => {
      const { code, stdout } = await host.exec(query, { ...(signal && { signal }), timeoutMs: MINUTE });
      seen = code === 0 ? stdout.split('\n').filter((line) => line.trim() !== '').length : 0;
      return seen >= gpu.count ? true : undefined;
    },
    {
      ms: DRIVER_MS,
      everyMs: 2 * LOOK_MS,
      ...(signal && { signal }),
      sentence: () =>
        l10n.t('{0} shows {1} of its {2} GPUs after {3} minutes.', name, seen, gpu.count, DRIVER_MS / MINUTE),
    },
  );
}

async function install(life: Life, record: VmRecord, host: Host, signal?: AbortSignal): Promise<void> {
  const { runner } = life;
  if (!runner) return;
  await enter(life, record, 'installing', l10n.t('Installing the runner on {0}.', record.name));
  // Loaded only here: most calls of the program install nothing
  const { readBundle } = await import('../runner/bundle');
  const { installRunner } = await import('../runner/install');
  const bundle = await readBundle(runner.folder);
  const owner = randomBytes(6).toString('hex');
  for (let attempt = 1; ; attempt++) {
    try {
      await installRunner(host, bundle, {
        settings: runner.settings(),
        runnerFolder: runner.folder,
        cache: runner.cache,
        owner,
        ...(signal && { signal }),
        onProgress: (text) => life.tell(record, 'installing', `${record.name}: ${text}`),
        log: life.log,
      });
      return;
    } catch (error) {
      const isLost =
        error instanceof TuneyardError && ['connection_lost', 'connection_failed', 'timed_out'].includes(error.code);
      if (!isLost || attempt === INSTALL_ATTEMPTS) throw error;
      await life.sleep(LOOK_MS, signal);
    }
  }
}
