/** Whether ONNX Runtime's CUDA provider can be loaded here, and if not, which file is missing. */
import { execFile } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { promisify } from 'node:util';

/** What stands between this machine and CUDA. */
export interface Obstacle {
  /** "libcublas.so.12 not found". */
  what: string;
  /** What a person can do about it. */
  remedy: string;
}

/** Folder of ONNX Runtime's native libraries; undefined where the package holds none for this platform. */
export function nativeFolder(): string | undefined {
  const bin = join(dirname(createRequire(import.meta.url).resolve('onnxruntime-node')), '..', 'bin');
  const folders = existsSync(bin) ? readdirSync(bin) : [];
  return folders.map((napi) => join(bin, napi, process.platform, process.arch)).find(existsSync);
}

/**
 * Loads the provider as ONNX Runtime would, but in a process of its own: the dynamic loader then says which library
 * it lacks, which ONNX Runtime keeps to itself, and whatever the provider does when loaded alone harms nobody.
 *
 * @param folder where ONNX Runtime's own library lies; the provider must lie beside it
 */
export async function cudaObstacle(folder: string | undefined = nativeFolder()): Promise<Obstacle | undefined> {
  if (folder === undefined || (process.platform !== 'linux' && process.platform !== 'win32')) {
    return { what: `ONNX Runtime has no CUDA for ${process.platform}-${process.arch}`, remedy: 'Compute on the CPU.' };
  }
  const provider = join(folder, libraryName('onnxruntime_providers_cuda'));
  for (const file of [provider, join(folder, libraryName('onnxruntime_providers_shared'))]) {
    if (!existsSync(file)) {
      const remedy = `Put ${basename(file)} of the same ONNX Runtime version into ${folder} (npm rebuild onnxruntime-node fetches it).`;
      return { what: `${basename(file)} not found`, remedy };
    }
  }
  return loaderComplaint(provider);
}

async function loaderComplaint(library: string): Promise<Obstacle | undefined> {
  const script = `try { process.dlopen({ exports: {} }, process.argv[1]); } catch (error) { console.log(error.message); }`;
  const said = await promisify(execFile)(process.execPath, ['-e', script, library], { timeout: 60_000 }).then(
    ({ stdout }) => stdout,
    // It was found and loaded, and then missed the program that it belongs to: nothing is missing.
    () => '',
  );
  const missing = /^(\S+): cannot open shared object file/m.exec(said)?.[1];
  if (missing !== undefined) return { what: `${missing} not found`, remedy: libraryRemedy(missing) };
  const damaged = /invalid ELF header|file too short|wrong ELF class|not a valid Win32|version `\S+' not found/.exec(
    said,
  );
  if (damaged) return { what: `${basename(library)} cannot be loaded (${damaged[0]})`, remedy: 'Install it anew.' };
  if (/specified module could not be found/.test(said)) {
    return { what: `a library that ${basename(library)} needs was not found`, remedy: 'Install CUDA and cuDNN.' };
  }
  return undefined;
}

function libraryName(name: string): string {
  return process.platform === 'win32' ? `${name}.dll` : `lib${name}.so`;
}

function libraryRemedy(library: string): string {
  const version = /\.so\.(\d+)/.exec(library)?.[1] ?? '';
  if (library.startsWith('libcuda.')) return 'Install NVIDIA’s driver.';
  if (library.startsWith('libcudnn')) return `Install cuDNN ${version}, or put its folder on LD_LIBRARY_PATH.`;
  // Only these carry CUDA's own version in their names.
  if (/^lib(cublas|cublasLt|cudart)\./.test(library)) {
    return `Install the libraries of CUDA ${version}, or put their folder on LD_LIBRARY_PATH.`;
  }
  if (/^lib(cu|nv)/.test(library)) return 'Install the libraries of CUDA, or put their folder on LD_LIBRARY_PATH.';
  return 'Install it, or put its folder on LD_LIBRARY_PATH.';
}
