/** ONNX Runtime on a host: fetched by the runner's own `setup` there, or sent from here where there is no network. */
import { createHash } from 'node:crypto';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { TuneyardError } from '@protocol/errors';
import * as l10n from '@vscode/l10n';
import type { Host } from '../hosts/host';
import { chooseEngine } from './engineChoice';
import type { InstallContext, InstalledRunner } from './installContext';
import type { HostFacts } from './look';
import { get } from './nodeRuntime';
import { shell } from './remoteDir';

const LIMIT_MS = 20 * 60_000;

interface PackageFile {
  file: string;
  url: string;
  integrity?: string;
}

/** @returns the engine's name: `onnxruntime-1.29.0-cpu` */
export async function installEngine(
  host: Host,
  facts: HostFacts,
  runner: InstalledRunner,
  context: InstallContext,
): Promise<string> {
  const { signal, onProgress, log, settings } = context;
  const { provider, obstacle } = chooseEngine(facts);
  if (obstacle !== undefined) log(`${host.label} will compute on the CPU: ${obstacle}`);
  const options = { timeoutMs: LIMIT_MS, ...(signal && { signal }) };
  const setup = [runner.node, runner.program, 'setup', '--provider', provider];
  const sources = ['--registry', settings.npmRegistry, '--nuget', settings.nuget];
  const plan = JSON.parse((await run(host, [...setup, ...sources, '--plan', '--json'], options)).stdout) as {
    name: string;
    packages: PackageFile[];
  };
  const out = `${facts.home}/.tuneyard/engine/${plan.name}`;
  if ((await host.stat(`${out}/node_modules`))?.kind === 'directory') return plan.name;

  const stage = provider === 'cpu' ? l10n.t('Installing ONNX Runtime') : l10n.t('Installing ONNX Runtime with CUDA');
  onProgress(stage);
  const { code, stdout } = await run(host, [...setup, ...sources, '--out', out, '--json'], {
    ...options,
    onOutput: (text) => {
      const [, bytes, total] = /"bytes":(\d+),"total":(\d+)/.exec(text) ?? [];
      if (bytes && total) onProgress(stage, Number(bytes) / Number(total));
    },
  });
  if (code === 0) return plan.name;
  const failure = lastError(stdout);
  if (failure?.code !== 'transfer_failed') throw installFailed(host, failure?.message ?? stdout);
  log(`The host cannot fetch ONNX Runtime (${failure.message}); this machine does.`);

  const packages = `${facts.home}/.tuneyard/engine/packages`;
  for (const each of plan.packages) {
    const local = await fetchPackage(each, context, (share) => onProgress(stage, share));
    await host.upload(local, `${packages}/${basename(each.file)}`, {
      ...(signal && { signal }),
      onProgress: (bytes, total) => onProgress(stage, bytes / total),
    });
  }
  const pushed = await run(host, [...setup, '--packages', packages, '--out', out, '--json'], options);
  if (pushed.code !== 0) throw installFailed(host, lastError(pushed.stdout)?.message ?? pushed.stdout);
  await shell(host, 'rm -rf "$1"', [packages]);
  return plan.name;
}

const run = (host: Host, argv: readonly string[], options: Parameters<Host['exec']>[1]) => host.exec(argv, options);

function lastError(stdout: string): { code: string; message: string } | undefined {
  const line = stdout.split('\n').findLast((each) => each.startsWith('{"type":"error"'));
  return line === undefined ? undefined : JSON.parse(line);
}

function installFailed(host: Host, why: string): TuneyardError {
  return new TuneyardError(
    'install_failed',
    l10n.t('ONNX Runtime could not be installed on {0}: {1}', host.label, why.trim()),
  );
}

/** Kept for the next host. */
async function fetchPackage(
  { file, url, integrity }: PackageFile,
  { cache, signal }: InstallContext,
  onShare: (share: number) => void,
): Promise<string> {
  await mkdir(cache, { recursive: true });
  const path = join(cache, file);
  const isRight = (content: Uint8Array) => {
    const [algorithm = 'sha512', wanted] = integrity?.split(/-(.*)/s) ?? [];
    return wanted === undefined || createHash(algorithm).update(content).digest('base64') === wanted;
  };
  const kept = await readFile(path).catch(() => undefined);
  if (kept && isRight(kept)) return path;
  const response = await get(url, signal);
  const total = Number(response.headers.get('content-length'));
  const pieces: Uint8Array[] = [];
  let bytes = 0;
  for await (const piece of response.body!) {
    pieces.push(piece);
    bytes += piece.length;
    if (total > 0) onShare(bytes / total);
  }
  const content = Buffer.concat(pieces);
  if (!isRight(content)) {
    throw new TuneyardError(
      'transfer_failed',
      l10n.t('{0} is not the published package; try again, or use another registry.', url),
    );
  }
  const temporary = `${path}.${process.pid}`;
  await writeFile(temporary, content);
  await rename(temporary, path);
  return path;
}
