/**
 * ONNX Runtime's C API, as far as it is used: the library that onnxruntime-node ships, called through koffi. It can do
 * what that package's own API cannot: run off the event loop, be stopped in the middle, share one pool of threads, keep
 * tensors on a device.
 *
 * Source: onnxruntime_c_api.h of 1.29; a function's place in the table never changes.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { nativeFolder } from './cudaLibraries';
import { type Koffi, loadKoffi } from './loadKoffi';
import { RunThread } from './runThread';

/** The API's version is the library's minor version. */
const API_VERSION = 29;
const TABLE_LENGTH = 404;
const RUN_WITH_BINDING = 133;

/** A pointer to something of ONNX Runtime's: a session, a value, an allocator. */
export type Handle = bigint;

const P = 'void*';
const S = 'const char*';

/** Place, what it returns (a status unless said), parameters. Those that end in `P*` hand something out. */
const STATUS_FUNCTIONS = {
  CreateSessionFromArray: [8, [P, P, 'size_t', P, P]],
  CreateSessionOptions: [10, [P]],
  EnableProfiling: [14, [P, S]],
  DisableMemPattern: [17, [P]],
  SetSessionGraphOptimizationLevel: [23, [P, 'int']],
  SetIntraOpNumThreads: [24, [P, 'int']],
  CreateRunOptions: [39, [P]],
  RunOptionsSetTerminate: [46, [P]],
  RunOptionsUnsetTerminate: [47, [P]],
  CreateTensorWithDataAsOrtValue: [49, [P, P, 'size_t', P, 'size_t', 'int', P]],
  CreateMemoryInfo: [68, [S, 'int', 'int', 'int', P]],
  AllocatorAlloc: [75, [P, 'size_t', P]],
  AllocatorFree: [76, [P, P]],
  GetAllocatorWithDefaultOptions: [78, [P]],
  SessionEndProfiling: [110, [P, P, P]],
  CreateEnvWithGlobalThreadPools: [119, ['int', S, P, P]],
  DisablePerSessionThreads: [120, [P]],
  CreateThreadingOptions: [121, [P]],
  AddSessionConfigEntry: [130, [P, S, S]],
  CreateAllocator: [131, [P, P, P]],
  CreateIoBinding: [134, [P, P]],
  BindInput: [136, [P, S, P]],
  BindOutput: [137, [P, S, P]],
  SetGlobalIntraOpNumThreads: [147, [P, 'int']],
  SetGlobalDenormalAsZero: [155, [P]],
  AddRunConfigEntry: [165, [P, S, S]],
  SessionOptionsAppendExecutionProvider_CUDA_V2: [204, [P, P]],
  CreateCUDAProviderOptions: [205, [P]],
  UpdateCUDAProviderOptions: [206, [P, P, P, 'size_t']],
} as const;

const RELEASES = {
  Env: 92,
  MemoryInfo: 94,
  Session: 95,
  Value: 96,
  RunOptions: 97,
  SessionOptions: 100,
  ThreadingOptions: 122,
  Allocator: 132,
  IoBinding: 135,
  CUDAProviderOptions: 208,
} as const;

export type StatusFunction = keyof typeof STATUS_FUNCTIONS;
export type Releasable = keyof typeof RELEASES;

/** What ONNX Runtime says of a call that failed. */
class OrtFailure extends Error {
  constructor(
    /** ORT_FAIL 1, ORT_INVALID_ARGUMENT 2, ORT_NO_SUCHFILE 3, … */
    readonly code: number,
    message: string,
  ) {
    super(message);
  }
}

type Native = ReturnType<Koffi['decode']> & { async(...args: unknown[]): void };

export class OrtApi {
  /** "1.29.0" */
  readonly version: string;
  readonly #koffi: Koffi;
  readonly #functions = new Map<StatusFunction, Native>();
  readonly #releases = new Map<Releasable, Native>();
  readonly #errorCode: Native;
  readonly #errorMessage: Native;
  readonly #releaseStatus: Native;
  readonly #runThread: RunThread;

  /** @throws Error where koffi or the library cannot be loaded, or it is of another version; the message says which */
  constructor() {
    const library = libraryFile();
    const koffi = loadKoffi();
    this.#koffi = koffi;
    const base = koffi.decode(koffi.load(library).func('OrtGetApiBase', P, [])(), koffi.array(P, 2)) as Handle[];
    this.version = koffi.call(base[1], koffi.proto(S, [])) as string;
    const api = koffi.call(base[0], koffi.proto(P, ['uint32_t']), API_VERSION) as Handle | null;
    if (!api) throw new Error(`ONNX Runtime ${this.version} has another API than 1.${API_VERSION}`);
    const table = koffi.decode(api, koffi.array(P, TABLE_LENGTH)) as Handle[];
    const at = (index: number, result: string, parameters: readonly string[]): Native =>
      koffi.decode(table[index], koffi.proto(result, [...parameters])) as Native;
    for (const [name, [index, parameters]] of Object.entries(STATUS_FUNCTIONS)) {
      this.#functions.set(name as StatusFunction, at(index, P, parameters));
    }
    for (const [name, index] of Object.entries(RELEASES))
      this.#releases.set(name as Releasable, at(index, 'void', [P]));
    this.#errorCode = at(1, 'int', [P]);
    this.#errorMessage = at(2, S, [P]);
    this.#releaseStatus = at(93, 'void', [P]);
    this.#runThread = new RunThread(table[RUN_WITH_BINDING]!);
  }

  /** RunWithBinding, on the thread for that. @throws OrtFailure */
  async run(session: Handle, options: Handle, binding: Handle): Promise<void> {
    this.#check(await this.#runThread.run(session, options, binding));
  }

  /** @throws OrtFailure */
  call(name: StatusFunction, ...args: unknown[]): void {
    this.#check(this.#functions.get(name)!(...args));
  }

  /** On a thread of its own. What is passed must be kept until it has ended. @throws OrtFailure */
  callAsync(name: StatusFunction, ...args: unknown[]): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#functions.get(name)!.async(...args, (error: unknown, status: Handle | null) => {
        if (error) return reject(error);
        try {
          this.#check(status);
          resolve();
        } catch (failure) {
          reject(failure);
        }
      });
    });
  }

  /** A call whose last parameter hands something out. @throws OrtFailure */
  create(name: StatusFunction, ...args: unknown[]): Handle {
    const out = new BigUint64Array(1);
    this.call(name, ...args, out);
    return out[0]!;
  }

  release(what: Releasable, handle: Handle): void {
    this.#releases.get(what)!(handle);
  }

  /** Native memory as JavaScript sees it. It must not be touched once that has been freed. */
  view(address: Handle, bytes: number): ArrayBuffer {
    return this.#koffi.view(address, bytes);
  }

  /** For a `char*[]`. */
  strings(values: readonly string[]): unknown {
    return this.#koffi.as([...values], 'const char**');
  }

  #check(status: Handle | null): void {
    if (!status) return;
    const failure = new OrtFailure(this.#errorCode(status), this.#errorMessage(status));
    this.#releaseStatus(status);
    throw failure;
  }
}

function libraryFile(): string {
  const folder = nativeFolder();
  const names = { linux: 'libonnxruntime.so.1', darwin: 'libonnxruntime.1.dylib', win32: 'onnxruntime.dll' };
  const name = names[process.platform as keyof typeof names];
  if (folder === undefined || name === undefined) {
    throw new Error(`onnxruntime-node holds no library for ${process.platform}-${process.arch}`);
  }
  const file = join(folder, name);
  if (!existsSync(file)) throw new Error(`${file} not found`);
  return file;
}
