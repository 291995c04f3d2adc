/**
 * Where a model's values in between lie in one buffer that all models share, so that graphs for many shapes hold no
 * memory side by side and no run waits for new pages. ONNX Runtime writes a result into memory that it is given: what is
 * planned here becomes a result of the model, over a piece of that buffer.
 */
import type { onnx } from 'onnx-proto';
import { byteLength, sameShape, type TensorType } from './ir';

export interface PlannedValue {
  readonly name: string;
  readonly type: TensorType;
  /** In bytes, a multiple of 64. */
  readonly offset: number;
}

export interface MemoryPlan {
  readonly values: readonly PlannedValue[];
  /** Of the buffer. */
  readonly bytes: number;
}

/** A model and the types of the values that its nodes make and that are no results of it. */
export interface BuiltModel {
  readonly model: onnx.IModelProto;
  readonly inner: ReadonlyMap<string, TensorType>;
}

/** Values below this are left to ONNX Runtime's allocator: naming them costs more than they do. */
const MIN_BYTES = 128 * 1024;

const ALIGNMENT = 64;

/** Types that JavaScript has arrays for. */
const PLANNED_TYPES = new Set(['float32', 'float16', 'bfloat16', 'int64', 'uint64', 'int32', 'bool', 'uint8']);

/** Ops whose result is their first operand's memory under another shape. */
const ALIASES = new Set(['Reshape']);

/** Element-wise ops whose kernels may write over an operand of the result's shape. */
const IN_PLACE = new Set(['Add', 'Sub', 'Mul', 'Div', 'Neg', 'Sqrt', 'Exp', 'Log', 'Tanh', 'Sigmoid', 'Relu']);

interface Slot {
  readonly bytes: number;
  readonly start: number;
  end: number;
  offset: number;
}

/** @param minBytes values smaller than this are not planned */
export function planMemory({ model, inner }: BuiltModel, minBytes = MIN_BYTES): MemoryPlan {
  const nodes = model.graph!.node!;
  const order = executionOrder(nodes);
  const position = new Int32Array(nodes.length);
  order.forEach((node, at) => {
    position[node] = at;
  });

  // What a value lies in: itself, or what it is another shape of. Only what a node makes and keeps counts.
  const root = new Map<string, string>();
  const last = new Map<string, number>();
  for (const index of order) {
    const { opType, input, output } = nodes[index]!;
    for (const name of input!) {
      const owner = root.get(name);
      if (owner !== undefined) last.set(owner, Math.max(last.get(owner)!, position[index]!));
    }
    for (const name of output!) {
      if (!inner.has(name)) continue;
      // An alias of an input or a result is nobody's to place.
      const owner = ALIASES.has(opType!) ? root.get(input![0]!) : name;
      if (owner === undefined) continue;
      root.set(name, owner);
      if (owner === name) last.set(name, position[index]!);
    }
  }

  const slots = new Map<string, Slot>();
  for (const index of order) {
    const { opType, input, output } = nodes[index]!;
    const at = position[index]!;
    for (const name of output!) {
      const type = inner.get(name);
      if (!type || root.get(name) !== name) continue;
      const bytes = byteLength(type);
      if (bytes < minBytes || !PLANNED_TYPES.has(type.dtype)) continue;
      const end = last.get(name)!;
      const operand = IN_PLACE.has(opType!)
        ? input!.find((from) => {
            const of = inner.get(from);
            const owner = root.get(from);
            if (!of || owner === undefined || !slots.has(owner) || last.get(owner) !== at) return false;
            return of.dtype === type.dtype && sameShape(of.shape, type.shape);
          })
        : undefined;
      const slot = operand === undefined ? { bytes, start: at, end, offset: 0 } : slots.get(root.get(operand)!)!;
      slot.end = Math.max(slot.end, end);
      slots.set(name, slot);
    }
  }

  const bytes = place([...new Set(slots.values())]);
  return {
    values: [...slots].map(([name, { offset }]) => ({ name, type: inner.get(name)!, offset })),
    bytes,
  };
}

/** Gives each slot the lowest place that is free for as long as it is in use, large ones first. @returns bytes in all */
function place(slots: readonly Slot[]): number {
  const placed: Slot[] = [];
  let bytes = 0;
  for (const slot of [...slots].sort((a, b) => b.bytes - a.bytes || a.start - b.start)) {
    const size = Math.ceil(slot.bytes / ALIGNMENT) * ALIGNMENT;
    for (const other of placed) {
      if (other.start > slot.end || other.end < slot.start) continue;
      const free = other.offset - slot.offset;
      if (free >= size) break;
      slot.offset = Math.max(slot.offset, other.offset + Math.ceil(other.bytes / ALIGNMENT) * ALIGNMENT);
    }
    bytes = Math.max(bytes, slot.offset + size);
    placed.splice(firstBehind(placed, slot.offset), 0, slot);
  }
  return bytes;
}

/** Index of the first slot that lies behind `offset`, of slots in the order of their places. */
function firstBehind(placed: readonly Slot[], offset: number): number {
  let [low, high] = [0, placed.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (placed[middle]!.offset > offset) high = middle;
    else low = middle + 1;
  }
  return low;
}

/**
 * Indexes of nodes in the order in which ONNX Runtime's sequential executor runs them: it does not follow the file but
 * walks back from the nodes that nobody reads, the last of them first, and from each to its latest operand first
 * (GraphViewer and Graph::ReverseDFSFrom in 1.29). A plan that took another order would put two living values in one
 * place; test/unit/graph/memoryPlan.test.ts compares this with what ONNX Runtime says it did.
 */
export function executionOrder(nodes: readonly onnx.INodeProto[]): number[] {
  const maker = new Map<string, number>();
  nodes.forEach((node, index) => {
    for (const name of node.output!) maker.set(name, index);
  });
  const operands = nodes.map(({ input }) => {
    const found = input!.map((name) => maker.get(name)).filter((index) => index !== undefined);
    return found.sort((a, b) => a - b);
  });
  const read = new Set(operands.flat());
  const order: number[] = [];
  const visited = new Uint8Array(nodes.length);
  // A node's complement marks that all it needs has been listed.
  const stack = [...nodes.keys()].filter((index) => !read.has(index));
  while (stack.length > 0) {
    const index = stack.pop()!;
    if (index < 0) {
      order.push(~index);
      continue;
    }
    if (visited[index]) continue;
    visited[index] = 1;
    stack.push(~index);
    for (const operand of operands[index]!) if (!visited[operand]) stack.push(operand);
  }
  return order;
}
