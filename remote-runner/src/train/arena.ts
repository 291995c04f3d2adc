/**
 * Arenas: parameters, gradients and each moment live in one contiguous Float32Array; a tensor is a view into it. So an
 * optimizer runs over a few long stretches, a gradient norm is one sum and a checkpoint one write.
 */
import { TuneyardError } from '@protocol/errors';
import { type TensorView, view } from '../engine/engine';
import { elementCount, type Shape } from '../graph/ir';
import type { ArenaMemory } from './arenaMemory';

/** Tensors begin at multiples of 64 bytes: a cache line, and the widest vector register. */
const ALIGNMENT = 16;

export interface TensorSpec {
  readonly name: string;
  readonly shape: Shape;
  /** Whether weight decay acts on it. */
  readonly decay: boolean;
  /** What the learning rate is multiplied by for it; default 1. */
  readonly rate?: number;
}

/** Floats `[from, to)` with one learning rate. */
export interface RateRange {
  readonly from: number;
  readonly to: number;
  readonly rate: number;
}

export interface ArenaTensor extends TensorSpec {
  /** In floats, a multiple of 16. */
  readonly offset: number;
  /** In floats, without the padding behind it. */
  readonly size: number;
}

/** Where the tensors of an arena lie; offsets and sizes in floats. */
export interface ArenaLayout {
  /** A multiple of 16. */
  readonly size: number;
  /** Floats `[0, decayed)` get weight decay, the rest does not; a multiple of 16. */
  readonly decayed: number;
  /** One behind the other, all of them. */
  readonly rates: readonly RateRange[];
  /** The decayed ones first, else in the order given. */
  readonly tensors: readonly ArenaTensor[];
}

/**
 * Lays tensors out one behind the other, those that decay first. What pads a tensor to 64 bytes stays zero.
 *
 * @throws TuneyardError `internal` where two tensors have one name
 */
export function layoutArena(specs: readonly TensorSpec[]): ArenaLayout {
  const names = new Set<string>();
  const tensors: ArenaTensor[] = [];
  const rates: RateRange[] = [];
  let end = 0;
  const place = (spec: TensorSpec) => {
    if (names.has(spec.name))
      throw new TuneyardError('internal', `an arena cannot hold two tensors named ${spec.name}.`);
    names.add(spec.name);
    const size = elementCount(spec.shape);
    const { name, shape, decay, rate = 1 } = spec;
    tensors.push({ name, shape, decay, offset: end, size, ...(rate !== 1 && { rate }) });
    const from = end;
    end += Math.ceil(size / ALIGNMENT) * ALIGNMENT;
    const last = rates.at(-1);
    if (last?.rate === rate) rates[rates.length - 1] = { ...last, to: end };
    else rates.push({ from, to: end, rate });
  };
  for (const spec of specs) if (spec.decay) place(spec);
  const decayed = end;
  for (const spec of specs) if (!spec.decay) place(spec);
  return { size: end, decayed, rates, tensors };
}

/** Parameters by name, wherever they lie: in one arena, or in several. */
export interface ParameterSet {
  readonly tensors: readonly { readonly name: string; readonly shape: Shape }[];
  /** A tensor for an engine; the same object at every call, so that the engine knows it again. */
  view(name: string): TensorView;
  /** Rows `[from, from + size)` of a tensor's first dimension, otherwise as {@link view}. */
  rows(name: string, range: { readonly from: number; readonly size: number }): TensorView;
  /** A tensor's numbers in place, row-major, without the padding. */
  slice(name: string): Float32Array;
}

export class Arena implements ParameterSet {
  readonly data: Float32Array;
  private readonly placed: ReadonlyMap<string, ArenaTensor>;
  private readonly views = new Map<string, TensorView>();

  /**
   * @param memory where it is to lie, if there is room
   * @throws TuneyardError `out_of_memory` where the buffer cannot be had
   */
  constructor(
    readonly layout: ArenaLayout,
    memory?: ArenaMemory,
  ) {
    this.data = allocateFloats(layout.size, 'the weights', memory);
    this.placed = new Map(layout.tensors.map((tensor) => [tensor.name, tensor]));
  }

  get tensors(): readonly ArenaTensor[] {
    return this.layout.tensors;
  }

  /** @throws TuneyardError `internal` for a name that the arena does not hold */
  view(name: string): TensorView {
    let found = this.views.get(name);
    if (!found) {
      found = view(this.slice(name), this.find(name).shape);
      this.views.set(name, found);
    }
    return found;
  }

  rows(name: string, { from, size }: { readonly from: number; readonly size: number }): TensorView {
    const key = `${name}[${from}:${from + size}]`;
    let found = this.views.get(key);
    if (!found) {
      const [, ...rest] = this.find(name).shape;
      const width = elementCount(rest);
      found = view(this.slice(name).subarray(from * width, (from + size) * width), [size, ...rest]);
      this.views.set(key, found);
    }
    return found;
  }

  slice(name: string): Float32Array {
    const { offset, size } = this.find(name);
    return this.data.subarray(offset, offset + size);
  }

  private find(name: string): ArenaTensor {
    const tensor = this.placed.get(name);
    if (!tensor) throw new TuneyardError('internal', `the arena holds no tensor named ${name}.`);
    return tensor;
  }
}

/** Several arenas with the parameters of one model: what is trained and what stays as it is. */
export interface JoinedArenas extends ParameterSet {
  readonly arenas: readonly StoredParameters[];
}

/** Parameters that lie in one piece. */
export interface StoredParameters extends ParameterSet {
  readonly data: ArrayBufferView<ArrayBufferLike>;
}

export function joined(...arenas: readonly StoredParameters[]): JoinedArenas {
  const [first] = arenas as [StoredParameters, ...StoredParameters[]];
  const owners = new Map(arenas.flatMap((arena) => arena.tensors.map(({ name }) => [name, arena] as const)));
  const owner = (name: string) => owners.get(name) ?? first;
  return {
    arenas,
    tensors: arenas.flatMap((arena) => arena.tensors),
    view: (name) => owner(name).view(name),
    rows: (name, range) => owner(name).rows(name, range),
    slice: (name) => owner(name).slice(name),
  };
}

/**
 * Zeros; may be longer than 4 GiB.
 *
 * @param what what they are for, as the sentence of the error names it
 * @param memory where they are to lie, if there is room
 * @throws TuneyardError `out_of_memory`
 */
export function allocateFloats(length: number, what: string, memory?: ArenaMemory): Float32Array {
  try {
    return memory?.floats(length) ?? new Float32Array(length);
  } catch (cause) {
    const size = (length * Float32Array.BYTES_PER_ELEMENT) / 2 ** 30;
    throw new TuneyardError(
      'out_of_memory',
      `cannot get ${size.toFixed(1)} GiB of memory in one piece for ${what}: take a smaller model or a machine with more memory.`,
      { data: { bytes: length * Float32Array.BYTES_PER_ELEMENT }, cause },
    );
  }
}
