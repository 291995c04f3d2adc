/** Whether ONNX Runtime can compute on an NVIDIA GPU here, found out by trying, and what is missing where it cannot. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { libraryFinder, neededLibraries } from './sharedLibraries';

export const PROVIDER_LIBRARY = 'libonnxruntime_providers_cuda.so';
const SHARED_LIBRARY = 'libonnxruntime_providers_shared.so';
const DRIVER_LIBRARY = 'libcuda.so.1';

/** What the CUDA provider needs and does not find, in the order of need; nothing where all of it is there. */
export function missingCudaLibraries(): string[] {
  if (process.platform !== 'linux') return [`CUDA on ${process.platform}`];
  const folder = providerFolder();
  const own = [PROVIDER_LIBRARY, SHARED_LIBRARY].filter((name) => !existsSync(join(folder, name)));
  if (own.length > 0) return own;
  const { names, runPath } = neededLibraries(join(folder, PROVIDER_LIBRARY));
  const find = libraryFinder([...runPath, folder]);
  return [...names, DRIVER_LIBRARY].filter((name) => find(name) === undefined);
}

/** Folder of the libraries that belong to onnxruntime-node on this platform. */
export function providerFolder(): string {
  const main = createRequire(import.meta.url).resolve('onnxruntime-node');
  return join(dirname(main), '..', 'bin', 'napi-v6', process.platform, process.arch);
}

/**
 * Loads ONNX Runtime and computes once. For a GPU ask {@link missingCudaLibraries} first: without them ONNX Runtime
 * writes a complaint of its own to the terminal.
 * @returns why that does not work; nothing where it does
 */
export async function tryProvider(provider: 'cpu' | { name: 'cuda'; deviceId: number }): Promise<string | undefined> {
  try {
    const { InferenceSession, Tensor } = await import('onnxruntime-node');
    const session = await InferenceSession.create(identityModel(), {
      executionProviders: [provider],
      logSeverityLevel: 4,
    });
    const { y } = await session.run({ x: new Tensor('float32', [1], [1]) });
    await session.release();
    return y?.data[0] === 1 ? undefined : 'it computes wrong results';
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    const library = message.match(/(lib[\w.+-]+\.so[\d.]*): cannot open shared object file/)?.[1];
    return library ? `${library} not found` : (message.split('\n')[0] ?? message);
  }
}

/** Names of the NVIDIA GPUs that the driver lists, by bus id. */
export function nvidiaGpus(): string[] {
  const folder = '/proc/driver/nvidia/gpus';
  try {
    return readdirSync(folder)
      .sort()
      .map(
        (bus) => readFileSync(join(folder, bus, 'information'), 'utf8').match(/^Model:\s*(.+)$/m)?.[1] ?? 'NVIDIA GPU',
      );
  } catch {
    return [];
  }
}

/**
 * y = Neg(Neg(x)) on one float, as ONNX protobuf (IR 8, opset 13): small enough to write down, so that looking for a
 * GPU does not need the compiler.
 */
function identityModel(): Uint8Array {
  const field = (number: number, bytes: readonly number[]) => [(number << 3) | 2, bytes.length, ...bytes];
  const int = (number: number, value: number) => [number << 3, value];
  const text = (number: number, value: string) => field(number, [...Buffer.from(value)]);
  const node = (input: string, output: string) => field(1, [...text(1, input), ...text(2, output), ...text(4, 'Neg')]);
  const shape = field(2, field(1, int(1, 1)));
  const value = (number: number, name: string) =>
    field(number, [...text(1, name), ...field(2, field(1, [...int(1, 1), ...shape]))]);
  const graph = [...node('x', 'h'), ...node('h', 'y'), ...text(2, 'try'), ...value(11, 'x'), ...value(12, 'y')];
  return Uint8Array.from([...int(1, 8), ...field(7, graph), ...field(8, int(2, 13))]);
}
