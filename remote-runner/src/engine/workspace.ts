/** One buffer that serves programs of every shape, one after the other; it grows to the largest and stays. */
import { byteLength, type DType, elementCount, type TensorType } from '../graph/ir';
import type { DeviceMemory } from './deviceMemory';
import type { TensorData } from './engine';
import { giveBack } from './pages';

const ALIGNMENT = 64;
const HEADROOM = 1.1;

export class Workspace {
  private buffer = new ArrayBuffer(0);
  /** Changes whenever views into the buffer have become void. */
  generation = 0;

  /** @param memory where it is to lie, if not on the host */
  constructor(private readonly memory?: DeviceMemory) {}

  get bytes(): number {
    return this.buffer.byteLength;
  }

  /** @param isIdle nothing is being computed in it: its pages are given back at once, not when garbage is collected */
  reserve(bytes: number, isIdle = false): void {
    if (bytes <= this.buffer.byteLength) return;
    if (isIdle) giveBack(new Uint8Array(this.buffer));
    // A little more, so that slightly larger shapes do not each leave a buffer to the garbage collector.
    this.release();
    this.buffer = new ArrayBuffer(Math.ceil(bytes * HEADROOM));
    this.memory?.reserve(new Uint8Array(this.buffer));
    this.generation++;
  }

  release(): void {
    this.memory?.release(new Uint8Array(this.buffer));
    this.buffer = new ArrayBuffer(0);
  }

  slice(offset: number, type: TensorType): TensorData {
    return typedArray(type.dtype, this.buffer, offset, elementCount(type.shape));
  }
}

/** Places tensors one behind the other. @returns their offsets, and the bytes in all */
export function layOut<K>(tensors: ReadonlyMap<K, TensorType>): { offsets: Map<K, number>; bytes: number } {
  const offsets = new Map<K, number>();
  let bytes = 0;
  for (const [key, type] of tensors) {
    offsets.set(key, bytes);
    bytes += Math.ceil(byteLength(type) / ALIGNMENT) * ALIGNMENT;
  }
  return { offsets, bytes };
}

/** A view of a buffer as elements of a type. */
export function typedArray(dtype: DType, buffer: ArrayBuffer, offset: number, length: number): TensorData {
  switch (dtype) {
    case 'float32':
      return new Float32Array(buffer, offset, length);
    case 'int64':
      return new BigInt64Array(buffer, offset, length);
    case 'uint64':
      return new BigUint64Array(buffer, offset, length);
    case 'int32':
      return new Int32Array(buffer, offset, length);
    case 'float16':
    case 'bfloat16':
      return new Uint16Array(buffer, offset, length);
    case 'bool':
    case 'uint8':
      return new Uint8Array(buffer, offset, length);
    default:
      throw new Error(`no workspace views of ${dtype}`);
  }
}
