/**
 * Memory of the engine's device, as twins of host arrays: a tensor over an array that has a twin is read and written on
 * the device, and the array itself is a picture of it that is as old as the last copy. So weights, gradients and moments
 * stay where they are computed with, and only what a person or a file wants crosses the bus.
 */
import { readFileSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { TuneyardError } from '@protocol/errors';
import { engineError } from './engineError';
import type { Koffi } from './loadKoffi';

/** A device's memory by addresses. Sizes in bytes. */
export interface RawMemory {
  /** Its name for ONNX Runtime. */
  readonly name: 'Cuda' | 'Cpu';
  readonly deviceId: number;
  /** @throws Error where there is none left */
  allocate(bytes: number): bigint;
  free(address: bigint): void;
  clear(address: bigint, bytes: number): void;
  copyIn(address: bigint, from: Uint8Array): Promise<void>;
  copyOut(into: Uint8Array, address: bigint): Promise<void>;
  /** Makes it the one that libraries called from this thread work on. */
  use(): void;
  /** For work that goes on beside what is computed; null where there is nothing of that kind. */
  readonly stream: bigint | null;
  /** Returns when all that was given to {@link stream} is done. */
  finish(): Promise<void>;
}

type Part = ArrayBufferView<ArrayBufferLike>;

/** Of bytes `[start, end)` of a buffer. */
interface Twin {
  readonly address: bigint;
  readonly start: number;
  readonly end: number;
  /** It lies in another one's memory. */
  readonly isLent: boolean;
}

export class DeviceMemory {
  readonly #twins = new Map<ArrayBufferLike, Twin[]>();

  constructor(readonly raw: RawMemory) {}

  /** Bytes of all twins. */
  get bytes(): number {
    const own = [...this.#twins.values()].flat().filter(({ isLent }) => !isLent);
    return own.reduce((sum, { start, end }) => sum + end - start, 0);
  }

  /**
   * Gives `array` a twin of zeros, unless it has one. The array's own pages need not be touched: the system gives them no
   * memory until then.
   *
   * @throws TuneyardError `out_of_memory` where the device has no room, `engine_failed`
   */
  reserve(array: Part): void {
    if (this.addressOf(array) !== undefined) return;
    const { buffer, byteOffset: start, byteLength } = array;
    const bytes = Math.max(byteLength, 1);
    let address: bigint;
    try {
      address = this.raw.allocate(bytes);
      this.raw.clear(address, bytes);
    } catch (error) {
      throw engineError(error, `reserving ${(bytes / 1e9).toFixed(2)} GB of its memory`);
    }
    this.#add(buffer, { address, start, end: start + bytes, isLent: false });
  }

  /** Gives `array` a twin in the memory of `place`'s, which is no shorter, until it is released. Its content is void. */
  lend(array: Part, place: Part): void {
    const address = this.addressOf(place);
    if (address === undefined || this.addressOf(array) !== undefined || place.byteLength < array.byteLength)
      throw new TuneyardError('internal', 'memory of the device that is not free was to be lent.');
    const { buffer, byteOffset: start, byteLength } = array;
    this.#add(buffer, { address, start, end: start + byteLength, isLent: true });
  }

  #add(buffer: ArrayBufferLike, twin: Twin): void {
    this.#twins.set(buffer, [...(this.#twins.get(buffer) ?? []), twin]);
  }

  /** As {@link reserve}, with what the array holds. */
  async adopt(array: Part): Promise<void> {
    this.reserve(array);
    await this.upload(array);
  }

  release(array: Part): void {
    const twin = this.#twinOf(array);
    if (!twin) return;
    const others = this.#twins.get(array.buffer)!.filter((other) => other !== twin);
    if (others.length > 0) this.#twins.set(array.buffer, others);
    else this.#twins.delete(array.buffer);
    if (!twin.isLent) this.raw.free(twin.address);
  }

  /** Where an array's twin lies; undefined for one that has none. */
  addressOf(array: Part): bigint | undefined {
    const twin = this.#twinOf(array);
    return twin && twin.address + BigInt(array.byteOffset - twin.start);
  }

  #twinOf({ buffer, byteOffset, byteLength }: Part): Twin | undefined {
    return this.#twins.get(buffer)?.find(({ start, end }) => start <= byteOffset && byteOffset + byteLength <= end);
  }

  /** Host to device, for arrays that have twins. */
  async upload(...arrays: readonly Part[]): Promise<void> {
    for (const array of arrays) {
      const address = this.addressOf(array);
      if (address !== undefined) await this.raw.copyIn(address, bytesOf(array));
    }
  }

  /** Device to host, for arrays that have twins. */
  async download(...arrays: readonly Part[]): Promise<void> {
    for (const array of arrays) {
      const address = this.addressOf(array);
      if (address !== undefined) await this.raw.copyOut(bytesOf(array), address);
    }
  }

  /** Zeros on the device; on the host where an array has no twin. */
  clear(array: Part): void {
    const address = this.addressOf(array);
    if (address === undefined) bytesOf(array).fill(0);
    else this.raw.clear(address, array.byteLength);
  }
}

function bytesOf({ buffer, byteOffset, byteLength }: Part): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}

type Native = ReturnType<Koffi['decode']> & { async(...args: unknown[]): void };

/** cudaMemcpyKind. */
const HOST_TO_DEVICE = 1;
const DEVICE_TO_HOST = 2;
/** cudaStreamNonBlocking: not kept by the default stream, which copies are on. */
const NON_BLOCKING = 1;
/** cudaErrorNotReady. */
const NOT_READY = 600;

/**
 * A GPU's memory by the CUDA runtime that ONNX Runtime has loaded, which must have used the GPU before.
 * @throws Error where that library cannot be found
 */
export function cudaMemory(koffi: Koffi, deviceId: number): RawMemory {
  const library = koffi.load(cudaRuntime());
  const bind = (name: string, ...parameters: string[]) => library.func(name, 'int', parameters) as unknown as Native;
  const setDevice = bind('cudaSetDevice', 'int');
  const malloc = bind('cudaMalloc', 'void*', 'size_t');
  const free = bind('cudaFree', 'void*');
  const memset = bind('cudaMemset', 'void*', 'int', 'size_t');
  const memcpy = bind('cudaMemcpy', 'void*', 'void*', 'size_t', 'int');
  const synchronize = bind('cudaStreamSynchronize', 'void*');
  const createStream = bind('cudaStreamCreateWithFlags', 'void*', 'uint');
  const query = bind('cudaStreamQuery', 'void*');
  const errorText = library.func('cudaGetErrorString', 'const char*', ['int']);
  const check = (code: number, doing: string) => {
    if (code !== 0) throw new Error(`${doing}: ${errorText(code)} (CUDA error ${code})`);
  };
  const use = () => check(setDevice(deviceId) as number, 'choosing the GPU');
  const call = (doing: string, f: Native, ...args: unknown[]) => {
    // Which GPU is meant is remembered by thread.
    use();
    check(f(...args) as number, doing);
  };
  let stream: bigint | undefined;
  return {
    name: 'Cuda',
    deviceId,
    allocate: (bytes) => {
      const out = new BigUint64Array(1);
      call(`out of memory while getting ${(bytes / 1e9).toFixed(2)} GB of GPU ${deviceId}`, malloc, out, bytes);
      return out[0]!;
    },
    free: (address) => call('freeing GPU memory', free, address),
    clear: (address, bytes) => call('clearing GPU memory', memset, address, 0, bytes),
    copyIn: async (address, from) => {
      call('copying to the GPU', memcpy, address, from, from.byteLength, HOST_TO_DEVICE);
      // It returns when the host's memory is free again, and streams that compute do not wait for it.
      call('copying to the GPU', synchronize, null);
    },
    copyOut: async (into, address) => {
      call('copying from the GPU', memcpy, into, address, into.byteLength, DEVICE_TO_HOST);
    },
    use,
    get stream() {
      if (stream === undefined) {
        const out = new BigUint64Array(1);
        call('opening a stream', createStream, out, NON_BLOCKING);
        stream = out[0]!;
      }
      return stream;
    },
    finish: async () => {
      for (;;) {
        use();
        const code = query(stream ?? null) as number;
        if (code !== NOT_READY) return check(code, 'waiting for the GPU');
        // The event loop, and what is computed meanwhile, are not kept.
        await setTimeout(1);
      }
    },
  };
}

/** The file that is loaded: several versions may be installed, and a second one would not know the first one's memory. */
function cudaRuntime(): string {
  if (process.platform !== 'linux') throw new Error(`memory of a GPU is not reached on ${process.platform}`);
  const path = /\/\S*\/libcudart\.so\S*/.exec(readFileSync('/proc/self/maps', 'utf8'))?.[0];
  if (path === undefined) throw new Error('libcudart has not been loaded');
  return path;
}

/** Memory of the CPU that JavaScript does not see: what runs over it runs over a GPU's. For tests. */
export function apartMemory(koffi: Koffi): RawMemory {
  const library = koffi.load(null);
  const malloc = library.func('malloc', 'void*', ['size_t']);
  const free = library.func('free', 'void', ['void*']);
  const memset = library.func('memset', 'void*', ['void*', 'int', 'size_t']);
  const memcpy = library.func('memcpy', 'void*', ['void*', 'void*', 'size_t']);
  return {
    name: 'Cpu',
    deviceId: 0,
    allocate: (bytes) => malloc(bytes) as bigint,
    free: (address) => free(address),
    clear: (address, bytes) => memset(address, 0, bytes),
    copyIn: async (address, from) => memcpy(address, from, from.byteLength),
    copyOut: async (into, address) => memcpy(into, address, into.byteLength),
    use: () => {},
    stream: null,
    finish: async () => {},
  };
}
