/**
 * One stretch of memory for all arenas of a training, which WebAssembly can pass over: what an optimizer does to a weight
 * then takes one pass over the weights instead of one for each of its element-wise ops. ONNX Runtime reads and writes the
 * same memory in place.
 */
import { KERNELS } from '../optim/kernels/kernels';

/** Functions of `kernels.wat`; addresses and lengths in bytes, lengths multiples of 64. */
export interface Kernels {
  adam(
    p: number,
    g: number,
    m: number,
    v: number,
    bytes: number,
    gradientFactor: number,
    l2: number,
    beta1: number,
    beta2: number,
    epsilon: number,
    rate: number,
    keep: number,
  ): void;
  squares(x: number, bytes: number): number;
}

interface Memory {
  readonly buffer: ArrayBuffer;
}

/** As much of it as is used here: Node's types leave it to those of browsers. */
interface WebAssemblyApi {
  Memory: new (size: { initial: number; maximum: number }) => Memory;
  Module: new (bytes: Uint8Array) => object;
  Instance: new (module: object, imports: { arenas: { memory: Memory } }) => { exports: unknown };
}

const { WebAssembly } = globalThis as unknown as { WebAssembly: WebAssemblyApi };

const PAGE = 65536;
/** Addresses are of 32 bits, and the one behind the last is one as well. */
const MOST_PAGES = 65535;
const FLOAT = Float32Array.BYTES_PER_ELEMENT;
const ALIGNMENT = 64;

const owners = new WeakMap<ArrayBufferLike, ArenaMemory>();

export class ArenaMemory {
  readonly kernels: Kernels;
  readonly #buffer: ArrayBuffer;
  #end = 0;

  private constructor(memory: Memory) {
    this.#buffer = memory.buffer;
    const instance = new WebAssembly.Instance(new WebAssembly.Module(KERNELS), { arenas: { memory } });
    this.kernels = instance.exports as Kernels;
    owners.set(this.#buffer, this);
  }

  /** Room for so many floats, zeros; undefined where it cannot be had: more than 4 GiB, or too little memory. */
  static open(floats: number): ArenaMemory | undefined {
    const pages = Math.ceil((floats * FLOAT) / PAGE);
    if (pages > MOST_PAGES) return undefined;
    try {
      return new ArenaMemory(new WebAssembly.Memory({ initial: pages, maximum: pages }));
    } catch {
      return undefined;
    }
  }

  /** The memory that all of these lie in; undefined where they do not. */
  static of(...arrays: readonly Float32Array[]): ArenaMemory | undefined {
    const [first] = arrays;
    return first && arrays.every(({ buffer }) => buffer === first.buffer) ? owners.get(first.buffer) : undefined;
  }

  /** The next so many floats, at a multiple of 64 bytes; undefined where there is no room left. */
  floats(length: number): Float32Array | undefined {
    const start = Math.ceil(this.#end / ALIGNMENT) * ALIGNMENT;
    if (start + length * FLOAT > this.#buffer.byteLength) return undefined;
    this.#end = start + length * FLOAT;
    return new Float32Array(this.#buffer, start, length);
  }
}
