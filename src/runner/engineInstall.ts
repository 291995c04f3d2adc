/** ONNX Runtime on a host: fetched by the runner's own `setup` there, or sent from here where there is no network. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import { TuneyardError } from '@protocol/errors';
import * as l10n from '@vscode/l10n';
import type { Host } from '../hosts/host';
import { throwIfAborted } from '../hosts/limits';
import { chooseEngine, type EngineChoice } from './engineChoice';
import { fetchFile } from './fetchFile';
import type { InstallContext, InstalledRunner } from './installContext';
import type { HostFacts } from './look';
import { pushFile } from './pushFile';
import { requireSpace, shell } from './remoteDir';

const LIMIT_MS = 20 * 60_000;
/** The packages, and what of them is kept. */
const NEEDED_BYTES = { cpu: 250e6, cuda12: 1.5e9 };

interface Plan {
  /** `onnxruntime-1.29.0-koffi-3.3.4-cpu` */
  name: string;
  packages: { file: string; url: string; integrity?: string }[];
}

export interface InstalledEngine {
  /** Its folder: `onnxruntime-1.29.0-koffi-3.3.4-cpu`. */
  name: string;
  /** What it was to compute with; a GPU's libraries may not have been to be had. */
  provider: EngineChoice['provider'];
}

export async function installEngine(
  host: Host,
  facts: HostFacts,
  runner: InstalledRunner,
  context: InstallContext,
): Promise<InstalledEngine> {
  const { provider, obstacle } = chooseEngine(facts);
  if (obstacle !== undefined) context.log(`${host.label} will compute on the CPU: ${obstacle}`);
  try {
    return { name: await installFor(provider, host, facts, runner, context), provider };
  } catch (error) {
    if (provider === 'cpu' || !(error instanceof TuneyardError) || error.code !== 'transfer_failed') throw error;
    context.log(
      `${host.label} will compute on the CPU: ONNX Runtime's CUDA libraries cannot be had. ${error.message} ` +
        'Set tuneyard.nugetFeed to a mirror, remove ~/.tuneyard/runner on the host and connect again.',
    );
    return { name: await installFor('cpu', host, facts, runner, context), provider };
  }
}

async function installFor(
  provider: EngineChoice['provider'],
  host: Host,
  facts: HostFacts,
  runner: InstalledRunner,
  context: InstallContext,
): Promise<string> {
  const { signal, onProgress, log, settings } = context;
  const options = { timeoutMs: LIMIT_MS, ...(signal && { signal }) };
  const setup = [runner.node, runner.program, 'setup', '--provider', provider];
  const sources = ['--registry', settings.npmRegistry, '--nuget', settings.nuget];
  const asked = await host.exec([...setup, ...sources, '--plan', '--json'], options);
  if (asked.code !== 0) throw installFailed(host, lastError(asked.stdout), asked.stderr || asked.stdout);
  const plan = JSON.parse(asked.stdout) as Plan;
  const out = `${facts.home}/.tuneyard/engine/${plan.name}`;
  if ((await host.stat(`${out}/node_modules`))?.kind === 'directory') return plan.name;
  requireSpace(host, facts.freeBytes, NEEDED_BYTES[provider]);

  const stage = provider === 'cpu' ? l10n.t('Installing ONNX Runtime') : l10n.t('Installing ONNX Runtime with CUDA');
  onProgress(stage);
  const { code, stdout } = await host.exec([...setup, ...sources, '--out', out, '--json'], {
    ...options,
    onOutput: (text) => {
      const [, bytes, total] = /"bytes":(\d+),"total":(\d+)/.exec(text) ?? [];
      if (bytes && total) onProgress(stage, Number(bytes) / Number(total));
    },
  });
  if (code === 0) return plan.name;
  const failure = lastError(stdout);
  if (failure?.code !== 'transfer_failed') throw installFailed(host, failure, stdout);
  log(`The host cannot fetch ONNX Runtime (${failure.message}); this machine does.`);
  const local = await packHere(plan, facts, provider, context, (share) => onProgress(stage, share / 2));
  const archive = `${facts.home}/.tuneyard/engine/${basename(local)}`;
  await pushFile(host, local, archive, {
    ...(signal && { signal }),
    onProgress: (bytes, total) => onProgress(stage, 0.5 + bytes / total / 2),
  });
  await shell(host, UNPACK, [archive, out], options);
  return plan.name;
}

/** $1: archive, $2: the folder it becomes. Beside, then renamed: an engine that is there is whole. */
const UNPACK = `
set -e; t="$2.new"; rm -rf "$t"; mkdir "$t"
tar -xzf "$1" -C "$t"; rm -rf "$2"; mv "$t" "$2"; rm -f "$1"`;

function lastError(stdout: string): { code: string; message: string } | undefined {
  const line = stdout.split('\n').findLast((each) => each.startsWith('{"type":"error"'));
  return line === undefined ? undefined : JSON.parse(line);
}

/** Of what may go wrong there, a person can mend two things at once. */
function installFailed(
  host: Host,
  failure: { code: string; message: string } | undefined,
  said: string,
): TuneyardError {
  const why = (failure?.message ?? said).trim().slice(-500);
  const code = failure?.code === 'disk_full' || failure?.code === 'not_writable' ? failure.code : 'install_failed';
  return new TuneyardError(code, l10n.t('ONNX Runtime could not be installed on {0}: {1}', host.label, why));
}

/**
 * The published packages, fetched here; packed again by the runner that the extension carries, because nine tenths of
 * them are for other platforms. Kept for the next host.
 */
async function packHere(
  { name, packages }: Plan,
  { os, machine }: HostFacts,
  provider: EngineChoice['provider'],
  { cache, runnerFolder, signal }: InstallContext,
  onShare: (share: number) => void,
): Promise<string> {
  const platform = `${os === 'Darwin' ? 'darwin' : 'linux'}-${machine === 'x86_64' ? 'x64' : 'arm64'}`;
  const packed = join(cache, `${name}-${platform}.tar.gz`);
  if (existsSync(packed)) return packed;
  for (const [i, { file, url, integrity }] of packages.entries()) {
    const [algorithm, value] = integrity?.split(/-(.*)/s) ?? [];
    await fetchFile(url, join(cache, file), {
      ...(algorithm !== undefined && value !== undefined && { digest: { algorithm, value, encoding: 'base64' } }),
      ...(signal && { signal }),
      onShare: (share) => onShare((i + share) / packages.length),
    });
  }
  const argv = [
    'setup',
    '--pack',
    '--platform',
    platform,
    '--provider',
    provider,
    '--packages',
    cache,
    '--out',
    packed,
  ];
  await runHere(join(runnerFolder, 'bin/tuneyard.mjs'), argv, signal);
  for (const { file } of packages) await rm(join(cache, file), { force: true });
  return packed;
}

/** In VS Code, the program that runs is no Node unless it is asked to be one. */
async function runHere(program: string, argv: readonly string[], signal: AbortSignal | undefined): Promise<void> {
  const env = { ...process.env, ELECTRON_RUN_AS_NODE: '1' };
  const options = { env, timeout: LIMIT_MS, ...(signal && { signal }) };
  await promisify(execFile)(process.execPath, [program, ...argv, '--json'], options).catch((error: unknown) => {
    throwIfAborted(signal);
    const { stdout = '', message } = error as { stdout?: string; message: string };
    throw new TuneyardError(
      'install_failed',
      l10n.t('ONNX Runtime could not be packed on this machine: {0}', lastError(stdout)?.message ?? message),
    );
  });
}
