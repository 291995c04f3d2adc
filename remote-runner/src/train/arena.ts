/**
 * Arenas: parameters, gradients and moments each live in one contiguous buffer, and a tensor is a view into it. So
 * the optimizer is a few element-wise ops over fixed chunks, clipping is one norm, and saving is one write.
 */
import { type TensorView, view } from '../engine/engine';
import { elementCount, type Shape } from '../graph/ir';

export interface ArenaTensor {
  readonly name: string;
  readonly shape: Shape;
  readonly decay: boolean;
  /** In floats. */
  readonly offset: number;
  readonly size: number;
}

export interface ArenaLayout {
  /** Floats in all, alignment included. */
  readonly size: number;
  /** Weight decay applies to the floats before this one. */
  readonly decayed: number;
  readonly tensors: readonly ArenaTensor[];
}

/** Tensors begin at multiples of 64 bytes; the floats in between are always zero. */
const ALIGNMENT = 16;

/** Tensors that weight decay applies to come first. */
export function layoutArena(specs: readonly { name: string; shape: Shape; decay: boolean }[]): ArenaLayout {
  const tensors: ArenaTensor[] = [];
  let offset = 0;
  let decayed = 0;
  for (const decay of [true, false]) {
    for (const spec of specs) {
      if (spec.decay !== decay) continue;
      const size = elementCount(spec.shape);
      tensors.push({ name: spec.name, shape: spec.shape, decay, offset, size });
      offset += Math.ceil(size / ALIGNMENT) * ALIGNMENT;
    }
    if (decay) decayed = offset;
  }
  return { size: offset, decayed, tensors };
}

export class Arena {
  readonly data: Float32Array;
  private readonly views = new Map<string, TensorView>();

  constructor(readonly layout: ArenaLayout) {
    this.data = new Float32Array(layout.size);
    for (const { name, shape, offset, size } of layout.tensors) this.views.set(name, view(this.data.subarray(offset, offset + size), shape));
  }

  /** @throws Error where there is no such tensor: a mistake of ours */
  view(name: string): TensorView {
    const found = this.views.get(name);
    if (!found) throw new Error(`the arena holds no ${name}`);
    return found;
  }

  slice(name: string): Float32Array {
    return this.view(name).data as Float32Array;
  }
}
