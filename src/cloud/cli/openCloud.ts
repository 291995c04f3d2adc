/** The service as this process is told to make it: by its environment, which the extension sets and a person may. */
import { existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { TuneyardError } from '@protocol/errors';
import { CloudService, type CloudServiceOptions } from '../cloudService';
import { type GceProvider, gceProvider } from '../gce/gceProvider';
import { withOwnPrices } from '../gce/prices';
import { iapEndpoint, openIapTunnel } from '../iap';
import { tuneyardHome } from '../ledger';
import type { VmPlace } from '../provider';

export interface Cloud {
  service: CloudService;
  provider: GceProvider;
  /** `remote-runner/bin/tuneyard.mjs`: this program's own. */
  program: string;
  /** What is put on VMs. */
  runner: NonNullable<CloudServiceOptions['runner']>;
}

/**
 * Environment: TUNEYARD_GCE_ENDPOINT, TUNEYARD_GCE_CREDENTIALS (a key file), TUNEYARD_GCE_PRICES (JSON, or a file of it),
 * TUNEYARD_GCE_USER and TUNEYARD_GCE_SSH_PORT (the account on VMs and their port), TUNEYARD_NODE_MIRROR,
 * TUNEYARD_NPM_REGISTRY, TUNEYARD_NUGET. For tests, whose clock goes faster: TUNEYARD_CLOUD_CLOCK, `ORIGIN SPEED ADVANCED`.
 *
 * @param bare nothing is installed on VMs
 * @throws TuneyardError `usage`
 */
export function openCloud(
  log: (text: string) => void,
  { bare = false, env = process.env }: { bare?: boolean; env?: NodeJS.ProcessEnv } = {},
): Cloud {
  const program = process.argv[1] ?? '';
  const runnerFolder = join(dirname(program), '..');
  const prices = ownPrices(env.TUNEYARD_GCE_PRICES);
  const clock = clockOf(env.TUNEYARD_CLOUD_CLOCK);
  const provider = gceProvider({
    env,
    log,
    ...clock,
    ...(env.TUNEYARD_GCE_CREDENTIALS && { credentialsFile: env.TUNEYARD_GCE_CREDENTIALS }),
    ...(prices !== undefined && { prices }),
  });
  const runner = {
    folder: runnerFolder,
    cache: join(homedir(), '.cache', 'tuneyard', 'downloads'),
    settings: () => ({
      nodeMirror: env.TUNEYARD_NODE_MIRROR || 'https://nodejs.org/dist',
      npmRegistry: env.TUNEYARD_NPM_REGISTRY || 'https://registry.npmjs.org',
      nuget: env.TUNEYARD_NUGET || 'https://api.nuget.org/v3-flatcontainer',
    }),
  };
  const service = new CloudService({
    provider,
    log,
    ...clock,
    ...(!bare && { runner }),
    home: tuneyardHome(),
    version: versionOf(runnerFolder),
    prices: withOwnPrices(prices),
    ...(env.TUNEYARD_GCE_USER && { user: env.TUNEYARD_GCE_USER }),
    ...(env.TUNEYARD_GCE_SSH_PORT && { sshPort: Number(env.TUNEYARD_GCE_SSH_PORT) }),
    tunnel: ({ project, zone, name }, port) => [
      process.execPath,
      program,
      'vm',
      'proxy',
      name,
      '--project',
      project,
      '--zone',
      zone,
      '--port',
      String(port),
    ],
  });
  return { service, provider, program, runner };
}

/** A connection to a VM that has no address. */
export async function openTunnel({ provider }: Cloud, { project, zone, name }: VmPlace, port: number) {
  const endpoint = iapEndpoint(process.env.TUNEYARD_GCE_ENDPOINT);
  const token = () => provider.accessToken();
  return openIapTunnel({ project, zone, instance: name, port }, { token, endpoint });
}

function ownPrices(given: string | undefined): unknown {
  if (!given) return undefined;
  const text = given.trimStart().startsWith('{') ? given : read(given);
  try {
    return JSON.parse(text);
  } catch {
    throw new TuneyardError('usage', 'TUNEYARD_GCE_PRICES is neither JSON nor a file that holds it.');
  }
}

/** Nothing where the clock is the wall's. */
function clockOf(given: string | undefined) {
  if (!given) return {};
  const [origin = 0, speed = 1, advanced = 0] = given.split(' ').map(Number);
  return {
    pace: speed,
    now: () => origin + (Date.now() - origin) * speed + advanced,
    sleep: async (ms: number, signal?: AbortSignal) => {
      await delay(ms / speed, undefined, { ...(signal && { signal }) }).catch(() => signal?.throwIfAborted());
    },
  };
}

const read = (path: string): string => (existsSync(path) ? readFileSync(path, 'utf8') : '');

function versionOf(runnerFolder: string): string {
  const { version } = JSON.parse(readFileSync(join(runnerFolder, 'package.json'), 'utf8')) as { version: string };
  return version;
}
