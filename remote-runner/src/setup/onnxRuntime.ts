/**
 * ONNX Runtime for this machine: its npm packages as they are published, of which only this platform's part is kept, and
 * for CUDA the provider that Microsoft publishes beside them (NuGet). What onnxruntime-node's own install script does,
 * without npm, with hashes that are known beforehand.
 */
import { createReadStream } from 'node:fs';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { TuneyardError } from '@protocol/errors';
import { unzipSync } from 'fflate';
import { create, extract } from 'tar';
import { asWriteError } from '../hub/diskError';
import { download } from './download';

/** A published package and its hash, as package-lock.json has it. */
export interface PublishedPackage {
  name: string;
  version: string;
  integrity: string;
}

export const ONNX_RUNTIME: readonly PublishedPackage[] = [
  {
    name: 'onnxruntime-node',
    version: '1.29.0',
    integrity: 'sha512-WjiVVB72riILz8HbYvxvmjKyE/WmkYoSfKY++axo5jAR609HQg8MwiG/HhShpTcJfmmAdzxxmB+MMST3A+SiPA==',
  },
  {
    name: 'onnxruntime-common',
    version: '1.29.0',
    integrity: 'sha512-/F63/e2VJoaVXGGNu6S5QH7jivBThGO95OzAVXXQ8hTta/b1QxI8udHa6cI3+3mAb5WWIIaMMwfZw01oivjJ1g==',
  },
];

const CUDA_PACKAGE = 'microsoft.ml.onnxruntime.gpu.linux';
const CUDA_LIBRARIES = ['libonnxruntime_providers_cuda.so', 'libonnxruntime_providers_shared.so'];

export interface EngineSetup {
  /** Gets `node_modules`; must not exist yet. With `pack`, a .tar.gz that holds it. */
  out: string;
  pack?: boolean;
  /** As Node names it, of the machine it is for: `linux-x64`. */
  platform: string;
  provider: 'cpu' | 'cuda12';
  /** npm registry. */
  registry: string;
  /** NuGet's package base address. */
  nuget: string;
  /** Folder with packages that were fetched elsewhere: `onnxruntime-node-1.29.0.tgz` and so on. */
  packages?: string;
  signal?: AbortSignal;
  onProgress?(stage: string, bytes: number, total: number | undefined): void;
}

/** `onnxruntime-1.29.0-cpu` */
export const engineName = (provider: EngineSetup['provider']): string =>
  `onnxruntime-${ONNX_RUNTIME[0]!.version}-${provider}`;

/** Names of the files that a machine without a network needs, with where they come from. */
export function packageFiles({ registry, nuget, provider }: Pick<EngineSetup, 'registry' | 'nuget' | 'provider'>) {
  const npm = ONNX_RUNTIME.map(({ name, version, integrity }) => ({
    file: `${name}-${version}.tgz`,
    url: `${registry.replace(/\/$/, '')}/${name}/-/${name}-${version}.tgz`,
    integrity,
  }));
  const { version } = ONNX_RUNTIME[0]!;
  const file = `${CUDA_PACKAGE}.${version}.nupkg`;
  const cuda = { file, url: `${nuget.replace(/\/$/, '')}/${CUDA_PACKAGE}/${version}/${file}`, integrity: undefined };
  return provider === 'cpu' ? npm : [...npm, cuda];
}

/**
 * @throws TuneyardError `transfer_failed` where a package cannot be had or is not the right one; `disk_full`,
 *   `not_writable`; `cancelled`
 */
export async function setUpEngine(setup: EngineSetup): Promise<void> {
  const { out, pack, platform, packages, signal, onProgress } = setup;
  const temporary = `${out}.${process.pid}.tmp`;
  try {
    await mkdir(join(temporary, 'packages'), { recursive: true });
    for (const { file, url, integrity } of packageFiles(setup)) {
      const here = packages === undefined ? join(temporary, 'packages', file) : join(packages, file);
      if (packages === undefined) {
        await download(url, here, {
          ...(integrity !== undefined && { integrity }),
          ...(signal && { signal }),
          onProgress: (bytes, total) => onProgress?.(file, bytes, total),
        });
      } else if (integrity !== undefined) {
        await requireIntegrity(here, integrity);
      }
      if (file.endsWith('.tgz')) await unpack(here, join(temporary, 'node_modules', nameOf(file)), platform);
      else await addCuda(here, join(temporary, 'node_modules/onnxruntime-node', nativeFolder(platform)));
    }
    await rm(join(temporary, 'packages'), { recursive: true });
    if (pack) {
      await create({ gzip: true, file: `${temporary}/packed`, cwd: temporary }, ['node_modules']);
      await rename(`${temporary}/packed`, out);
    } else {
      await rename(temporary, out);
    }
  } catch (error) {
    throw asWriteError(error, out);
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
}

const nameOf = (file: string): string => file.replace(/-\d+\.\d+\.\d+\.tgz$/, '');

const nativeFolder = (platform: string): string => `bin/napi-v6/${platform.replace('-', '/')}`;

async function requireIntegrity(file: string, integrity: string): Promise<void> {
  const { createHash } = await import('node:crypto');
  const [algorithm = '', wanted] = integrity.split(/-(.*)/s);
  const hash = createHash(algorithm);
  for await (const piece of createReadStream(file)) hash.update(piece);
  if (hash.digest('base64') !== wanted) {
    throw new TuneyardError('transfer_failed', 'this package is not the published one; fetch it again.', {
      place: { file },
    });
  }
}

/** Without other platforms' libraries, which are most of it. */
async function unpack(file: string, to: string, platform: string): Promise<void> {
  await mkdir(to, { recursive: true });
  const mine = `/${nativeFolder(platform)}/`;
  await extract({
    file,
    cwd: to,
    strip: 1,
    filter: (path) => !path.includes('/bin/napi-v6/') || path.includes(mine),
  });
}

async function addCuda(file: string, to: string): Promise<void> {
  const wanted = (name: string) => CUDA_LIBRARIES.find((library) => name === `runtimes/linux-x64/native/${library}`);
  const entries = unzipSync(await readFile(file), { filter: ({ name }) => wanted(name) !== undefined });
  for (const library of CUDA_LIBRARIES) {
    const content = entries[`runtimes/linux-x64/native/${library}`];
    if (!content) throw new TuneyardError('transfer_failed', `${library} is not in it.`, { place: { file } });
    await writeFile(join(to, library), content, { mode: 0o755 });
  }
}
