/** A Node to run the runner with: one that the host has, or the official build, its checksum checked. */
import { join } from 'node:path';
import { TuneyardError } from '@protocol/errors';
import * as l10n from '@vscode/l10n';
import type { Host } from '../hosts/host';
import { fetchFile, fetchText } from './fetchFile';
import type { InstallContext } from './installContext';
import { compareVersions, type HostFacts } from './look';
import { pushFile } from './pushFile';
import { requireSpace, shell } from './remoteDir';

const OLDEST = '20.0.0';
/** What is installed where there is none. */
export const NODE_VERSION = '24.21.0';

/** The archive, and what is in it. */
const NEEDED_BYTES = 300e6;

const PLATFORMS: Record<string, string> = {
  'Linux x86_64': 'linux-x64',
  'Linux aarch64': 'linux-arm64',
  'Linux arm64': 'linux-arm64',
  'Darwin x86_64': 'darwin-x64',
  'Darwin arm64': 'darwin-arm64',
};

/** The newest Node that is there and new enough. */
export function suitableNode({ nodes }: HostFacts): string | undefined {
  return nodes.find(({ version }) => compareVersions(version, OLDEST) >= 0)?.path;
}

/**
 * Installs Node into `~/.tuneyard/node`. The host fetches it; where it cannot, this machine does and sends it.
 * @returns the program's path
 * @throws TuneyardError `platform_unsupported`; `transfer_failed`, `install_failed`
 */
export async function installNode(host: Host, facts: HostFacts, context: InstallContext): Promise<string> {
  const platform = PLATFORMS[`${facts.os} ${facts.machine}`];
  if (platform === undefined || facts.isMusl) {
    const what = facts.isMusl ? l10n.t('{0} with musl', facts.os) : `${facts.os} ${facts.machine}`;
    throw new TuneyardError(
      'platform_unsupported',
      l10n.t('There is no official Node for {0}; install Node {1} or newer on {2} yourself.', what, OLDEST, host.label),
    );
  }
  requireSpace(host, facts.freeBytes, NEEDED_BYTES);
  const { cache, log, onProgress, settings, signal } = context;
  const options = signal ? { signal } : {};
  const name = `node-v${NODE_VERSION}-${platform}`;
  const file = `${name}.tar.gz`;
  const base = `${settings.nodeMirror.replace(/\/$/, '')}/v${NODE_VERSION}`;
  const stage = l10n.t('Installing Node {0}', NODE_VERSION);
  onProgress(stage);
  const archive = `${facts.home}/.tuneyard/node/${file}`;
  const sums = await fetchOnHost(host, facts, `${base}/SHASUMS256.txt`, context);
  if (sums !== undefined) {
    log(`The host fetches ${base}/${file}`);
    const sha256 = sumOf(sums, file, base);
    await shell(host, FETCH_CHECKED, [`${base}/${file}`, archive, sha256], { timeoutMs: 15 * 60_000, ...options });
  } else {
    log(`The host reaches no network; this machine fetches ${base}/${file}`);
    const value = sumOf(await fetchText(`${base}/SHASUMS256.txt`, signal), file, base);
    const local = join(cache, file);
    const digest = { algorithm: 'sha256', encoding: 'hex', value } as const;
    await fetchFile(`${base}/${file}`, local, { digest, ...options, onShare: (share) => onProgress(stage, share / 2) });
    await pushFile(host, local, archive, {
      ...options,
      onProgress: (bytes, total) => onProgress(stage, 0.5 + bytes / total / 2),
    });
  }
  await shell(host, UNPACK, [archive, name], { timeoutMs: 120_000, ...options });
  return `${facts.home}/.tuneyard/node/${name}/bin/node`;
}

/** $1: address, $2: file, $3: SHA-256. A download that broke off is gone on with, where the server can. */
const FETCH_CHECKED = `
set -e; mkdir -p "$(dirname "$2")"
get() {
  if command -v curl >/dev/null 2>&1; then curl -fsSL --retry 3 --connect-timeout 20 --speed-time 60 --speed-limit 1 -C - -o "$2.part" "$1"
  else wget -q -T 60 -c -O "$2.part" "$1"; fi
}
if [ -s "$2.part" ]; then get "$@" 2>/dev/null || rm -f "$2.part"; fi
[ -s "$2.part" ] || get "$@"
sum=$( { sha256sum "$2.part" 2>/dev/null || shasum -a 256 "$2.part"; } | cut -d ' ' -f 1)
if [ "$sum" != "$3" ]; then rm -f "$2.part"; echo "the download of $1 is damaged: its SHA-256 is $sum instead of $3; try again" >&2; exit 1; fi
mv "$2.part" "$2"`;

/** $1: archive, $2: folder in it. Beside, then renamed: a Node that is there is whole. */
const UNPACK = `
set -e; cd "$(dirname "$1")"; t=".$2.$$"; rm -rf "$t"; mkdir "$t"
tar -xzf "$1" -C "$t"; "$t/$2/bin/node" -e 0
rm -rf "$2"; mv "$t/$2" "$2"; rm -rf "$t" "$1"`;

/** A small text; undefined where the host cannot fetch. */
async function fetchOnHost(
  host: Host,
  facts: HostFacts,
  url: string,
  { signal }: InstallContext,
): Promise<string | undefined> {
  const fetcher = facts.tools.includes('curl')
    ? ['curl', '-fsSL', '--connect-timeout', '10', '--max-time', '20', url]
    : facts.tools.includes('wget')
      ? ['wget', '-q', '-T', '15', '-t', '1', '-O', '-', url]
      : undefined;
  if (!fetcher) return undefined;
  const { code, stdout } = await host.exec(fetcher, { timeoutMs: 30_000, ...(signal && { signal }) });
  return code === 0 ? stdout : undefined;
}

function sumOf(sums: string, file: string, base: string): string {
  const line = sums.split('\n').find((each) => each.trim().endsWith(` ${file}`));
  const sha256 = line?.trim().split(/\s+/)[0];
  if (sha256 && /^[0-9a-f]{64}$/.test(sha256)) return sha256;
  throw new TuneyardError(
    'transfer_failed',
    l10n.t('{0} has no {1}; check the setting tuneyard.nodeMirror.', base, file),
  );
}
