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

const ONNX_RUNTIME: PublishedPackage = {
  name: 'onnxruntime-node',
  version: '1.29.0',
  integrity: 'sha512-WjiVVB72riILz8HbYvxvmjKyE/WmkYoSfKY++axo5jAR609HQg8MwiG/HhShpTcJfmmAdzxxmB+MMST3A+SiPA==',
};

const ONNX_RUNTIME_COMMON: PublishedPackage = {
  name: 'onnxruntime-common',
  version: '1.29.0',
  integrity: 'sha512-/F63/e2VJoaVXGGNu6S5QH7jivBThGO95OzAVXXQ8hTta/b1QxI8udHa6cI3+3mAb5WWIIaMMwfZw01oivjJ1g==',
};

/** What calls its C API; the native half is a package for each platform. */
const KOFFI: PublishedPackage = {
  name: 'koffi',
  version: '3.3.4',
  integrity: 'sha512-31Vr+LM+w1dEsNcOJtJWvYyUTjVc/SWOxNDZJxfhsBC6qZ5YVn98n5x1oBbDq5skxCbWD4SByJpNmq63fvg9Aw==',
};

const KOFFI_NATIVE: Readonly<Record<string, string>> = {
  'linux-x64': 'sha512-xi47MKuoQ9fA2SsrH6wljl9t9120hO66qEmb1le6q636q55J974cZfcwDrK5nW1GalJ+0NLXoH2T3/NGQBzPNw==',
  'linux-arm64': 'sha512-k6FPjEYDioyVihUqvRFX4QZK0RL/Rrn4xPEzrKxODxgLAUXlhBTut391zPzgsMcArXgN4YTuS11M/kxmA5s+Fg==',
  'darwin-x64': 'sha512-QYRCBepdGNL5Nj8UH+mzd4sTuNGtkmYCUBTyOmoksDMXGfM03MMdZg49c42mQE7blYh28H9qeeB0NHU/acN0ng==',
  'darwin-arm64': 'sha512-KWc1kRttFZrFWo3bJKsmiQd/wLIaxs2eIFY10US0PcC93nBfvKOqhGrYK6DNprRMoGwSN99wxIFBJrHDAqw5ew==',
};

/** @param platform as Node names it: `linux-x64`; without koffi's native half where there is none for it */
export function enginePackages(platform: string): readonly PublishedPackage[] {
  const integrity = KOFFI_NATIVE[platform];
  const native = { name: `@koromix/koffi-${platform}`, version: KOFFI.version };
  return [ONNX_RUNTIME, ONNX_RUNTIME_COMMON, KOFFI, ...(integrity === undefined ? [] : [{ ...native, integrity }])];
}

/** As `npm pack` calls it. */
export const packageFile = ({ name, version }: PublishedPackage): string =>
  `${name.replace(/^@/, '').replace('/', '-')}-${version}.tgz`;

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

/** `onnxruntime-1.29.0-koffi-3.3.4-cpu` */
export const engineName = (provider: EngineSetup['provider']): string =>
  `onnxruntime-${ONNX_RUNTIME.version}-koffi-${KOFFI.version}-${provider}`;

interface PackageFile {
  file: string;
  url: string;
  integrity?: string;
  /** Where it goes in node_modules; none for what goes into ONNX Runtime's own. */
  name?: string;
}

/** Names of the files that a machine without a network needs, with where they come from. */
export function packageFiles(setup: Pick<EngineSetup, 'registry' | 'nuget' | 'provider' | 'platform'>): PackageFile[] {
  const [registry, nuget] = [setup.registry, setup.nuget].map((url) => url.replace(/\/$/, ''));
  const npm = enginePackages(setup.platform).map((each): PackageFile => {
    const { name, version, integrity } = each;
    const url = `${registry}/${name}/-/${name.replace(/^.*\//, '')}-${version}.tgz`;
    return { file: packageFile(each), url, integrity, name };
  });
  if (setup.provider === 'cpu') return npm;
  const { version } = ONNX_RUNTIME;
  const file = `${CUDA_PACKAGE}.${version}.nupkg`;
  return [...npm, { file, url: `${nuget}/${CUDA_PACKAGE}/${version}/${file}` }];
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
    for (const { file, url, integrity, name } of packageFiles(setup)) {
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
      if (name !== undefined) await unpack(here, join(temporary, 'node_modules', name), platform);
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

/** Without other platforms' libraries and what they are built from, which are most of it. */
async function unpack(file: string, to: string, platform: string): Promise<void> {
  await mkdir(to, { recursive: true });
  const mine = `/${nativeFolder(platform)}/`;
  await extract({
    file,
    cwd: to,
    strip: 1,
    filter: (path) => (!path.includes('/bin/napi-v6/') || path.includes(mine)) && !NOT_NEEDED.test(path),
  });
}

const NOT_NEEDED = /\/(doc|vendor)\/|\.(cc|hh|inc|S|asm|map)$/;

async function addCuda(file: string, to: string): Promise<void> {
  const wanted = (name: string) => CUDA_LIBRARIES.find((library) => name === `runtimes/linux-x64/native/${library}`);
  const entries = unzipSync(await readFile(file), { filter: ({ name }) => wanted(name) !== undefined });
  for (const library of CUDA_LIBRARIES) {
    const content = entries[`runtimes/linux-x64/native/${library}`];
    if (!content) throw new TuneyardError('transfer_failed', `${library} is not in it.`, { place: { file } });
    await writeFile(join(to, library), content, { mode: 0o755 });
  }
}
