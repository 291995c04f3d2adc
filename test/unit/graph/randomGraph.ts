/**
 * Small random graphs of what the passes look at: products, transposes, row scales, sums, broadcasts, constants.
 * All numbers are whole and stay below 2²⁴, so that float32 sums are exact in any order: two ways of computing the same
 * must give equal numbers.
 */
import { Random } from '@runner/data/random';
import type { Builder } from '@runner/graph/builder';
import { elementCount, type Graph, type Shape, sameShape, type Value } from '@runner/graph/ir';
import { newBuilder } from '@runner/ops';
import fc from 'fast-check';
import type { Data } from '../ops/support';

export interface RandomGraph {
  readonly graph: Graph;
  readonly feeds: Record<string, Data>;
}

/** Inputs, and what is clipped, lie in −3…3. */
const LARGEST = 3;
/** A value that may be larger than this is clipped before it is used again. */
const CLIPPED_ABOVE = 200;

interface Step {
  readonly kind: number;
  /** `a` and `b` pick among the values made so far. */
  readonly a: number;
  readonly b: number;
  readonly size: number;
  readonly flag: boolean;
  readonly other: boolean;
  /** Whether the step's value is a result of the graph. */
  readonly output: boolean;
}

const size = fc.integer({ min: 1, max: 6 });
const step: fc.Arbitrary<Step> = fc.record({
  kind: fc.nat({ max: 999 }),
  a: fc.nat({ max: 99 }),
  b: fc.nat({ max: 99 }),
  size,
  flag: fc.boolean(),
  other: fc.boolean(),
  output: fc.boolean(),
});

export const randomGraph: fc.Arbitrary<RandomGraph> = fc
  .record({
    shapes: fc.array(fc.array(size, { minLength: 2, maxLength: 3 }), { minLength: 1, maxLength: 3 }),
    steps: fc.array(step, { minLength: 1, maxLength: 14 }),
  })
  .map(({ shapes, steps }) => {
    const pool = new Pool(newBuilder('random'));
    pool.input([3, 4]);
    for (const shape of shapes) pool.input(shape);
    steps.forEach((taken, i) => {
      const value = STEPS[taken.kind % STEPS.length]!(pool, taken);
      if (taken.output || i === steps.length - 1) pool.g.output(`y${i}`, value);
    });
    const { graph } = pool.g;
    const random = new Random(7);
    const feeds = graph.inputs.map(({ name, shape }) => [
      name,
      Float32Array.from({ length: elementCount(shape) }, () => random.nextInt(2 * LARGEST + 1) - LARGEST),
    ]);
    return { graph, feeds: Object.fromEntries(feeds) };
  });

/** The values made so far, with how large their elements may be. */
class Pool {
  private readonly values: Value[] = [];
  private readonly bounds = new Map<Value, number>();

  constructor(readonly g: Builder) {}

  input(shape: Shape): Value {
    return this.add(this.g.input(`x${this.g.graph.inputs.length}`, 'float32', shape), LARGEST);
  }

  add(value: Value, bound: number): Value {
    this.values.push(value);
    this.bounds.set(value, bound);
    return value;
  }

  bound(...values: Value[]): number {
    return values.reduce((product, value) => product * this.bounds.get(value)!, 1);
  }

  pick(at: number, fits: (value: Value) => boolean = () => true): Value {
    const fitting = this.values.filter(fits);
    const value = fitting[at % fitting.length]!;
    if (this.bound(value) <= CLIPPED_ABOVE) return value;
    return this.add(this.g.max(this.g.min(value, LARGEST), -LARGEST), LARGEST);
  }

  matrix(at: number): Value {
    return this.pick(at, ({ shape }) => shape.length === 2);
  }

  /** A value of this shape: mostly one that is there, else a new input. */
  shaped(shape: Shape, at: number): Value {
    const fits = (value: Value) => sameShape(value.shape, shape);
    return at % 4 > 0 && this.values.some(fits) ? this.pick(at, fits) : this.input(shape);
  }
}

const swapLast = (g: Builder, x: Value): Value => {
  const rank = x.shape.length;
  return g.transpose(x, [...Array(rank - 2).keys(), rank - 1, rank - 2]);
};

/** The second factor of a product whose first has `inner` columns, given as it is or as a transpose. */
function factor(pool: Pool, lead: Shape, inner: number, { b, size, other }: Step): Value {
  return other ? swapLast(pool.g, pool.shaped([...lead, size, inner], b)) : pool.shaped([...lead, inner, size], b);
}

const STEPS: readonly ((pool: Pool, step: Step) => Value)[] = [
  // Sums, of which many have a product on one side or both.
  (pool, { a, b }) => {
    const x = pool.pick(a);
    const y = pool.shaped(x.shape, b);
    return pool.add(pool.g.add(x, y), pool.bound(x) + pool.bound(y));
  },
  // A bias, a column or a single row beside a matrix.
  (pool, { a, b, flag, other }) => {
    const x = pool.matrix(a);
    const [rows, columns] = x.shape as [number, number];
    const y = pool.shaped(flag ? [columns] : other ? [rows, 1] : [1, columns], b);
    return pool.add(pool.g.add(y, x), pool.bound(x) + pool.bound(y));
  },
  // A scale of rows: hoisted where the matrix is wider than the product.
  (pool, { a, b, size, flag, other }) => {
    const x = pool.matrix(a);
    const scale = pool.shaped([x.shape[0]!, 1], b);
    const scaled = pool.add(pool.g.mul(x, scale), pool.bound(x, scale));
    const left = pool.bound(scaled) > CLIPPED_ABOVE ? x : scaled;
    const inner = left.shape[flag ? 0 : 1]!;
    const right = pool.shaped(other ? [size, inner] : [inner, size], b);
    const product = pool.g.gemm(left, right, null, { transA: flag, transB: other });
    return pool.add(product, inner * pool.bound(left, right));
  },
  // The same where one row or one vector is stretched over all rows.
  (pool, { a, b, size, flag, other }) => {
    const columns = pool.matrix(a).shape[1]!;
    const row = pool.shaped(other ? [1, columns] : [columns], b);
    const scale = pool.input([size, 1]);
    const inner = flag ? size : columns;
    const right = pool.input([inner, 1]);
    const product = pool.g.gemm(pool.g.mul(scale, row), right, null, { transA: flag });
    return pool.add(product, inner * pool.bound(row, scale, right));
  },
  (pool, { a, b, flag, size, other }) => {
    const x = pool.matrix(a);
    const inner = x.shape[flag ? 0 : 1]!;
    const y = pool.shaped(other ? [size, inner] : [inner, size], b);
    return pool.add(
      pool.g.apply('Gemm', [x, y], { transA: flag ? 1 : 0, transB: other ? 1 : 0, alpha: 2 }),
      2 * inner * pool.bound(x, y),
    );
  },
  // A product with something added to it that nobody else reads.
  (pool, { a, b, size, flag, other }) => {
    const x = pool.matrix(a);
    const y = pool.shaped([x.shape[1]!, size], b);
    const product = pool.g.gemm(x, y);
    const addend = other ? pool.g.gemm(x, y) : pool.shaped(flag ? [size] : product.shape, b);
    const bound = x.shape[1]! * pool.bound(x, y);
    return pool.add(pool.g.add(addend, product), bound + (other ? bound : pool.bound(addend)));
  },
  // Products of transposes.
  (pool, taken) => {
    const x = pool.matrix(taken.a);
    const left = taken.flag ? swapLast(pool.g, x) : x;
    const inner = left.shape[1]!;
    const right = factor(pool, [], inner, taken);
    const product = pool.g.gemm(left, right);
    return pool.add(product, inner * pool.bound(x) * LARGEST * CLIPPED_ABOVE);
  },
  (pool, taken) => {
    const x = pool.pick(taken.a, ({ shape }) => shape.length >= 2);
    const left = taken.flag ? swapLast(pool.g, x) : x;
    const inner = left.shape.at(-1)!;
    const right = factor(pool, taken.b % 2 ? left.shape.slice(0, -2) : [], inner, taken);
    const product = taken.b % 3 ? pool.g.matMul(left, right) : pool.g.fusedMatMul(left, right, { alpha: 2 });
    return pool.add(product, 2 * inner * pool.bound(x) * CLIPPED_ABOVE);
  },
  // Another order of dimensions, which is no flag of a product.
  (pool, { a, flag }) => {
    const x = pool.pick(a, ({ shape }) => shape.length >= 2);
    const value = x.shape.length === 3 ? pool.g.transpose(x, flag ? [1, 0, 2] : [2, 0, 1]) : swapLast(pool.g, x);
    return pool.add(value, pool.bound(x));
  },
  (pool, { a, size, flag }) => {
    const x = pool.pick(a);
    const { g } = pool;
    const constant = g.add(g.mul(g.scalar(size), g.scalar(2)), g.constant(Float32Array.of(1), 'float32', [1]));
    return flag
      ? pool.add(g.mul(x, g.reshape(constant, [])), pool.bound(x) * 13)
      : pool.add(g.add(constant, x), pool.bound(x) + 13);
  },
  (pool, { a, flag, other }) => {
    const x = pool.pick(a, ({ shape }) => shape.length > 0);
    const axis = flag ? 0 : x.shape.length - 1;
    return pool.add(pool.g.reduceSum(x, [axis], other), pool.bound(x) * x.shape[axis]!);
  },
  // The same twice, from equal constants that are not the same value.
  (pool, { a, size }) => {
    const x = pool.pick(a);
    const { g } = pool;
    const once = () => g.relu(g.add(x, g.constant(Float32Array.of(size), 'float32', [1])));
    return pool.add(g.add(once(), once()), 2 * (pool.bound(x) + size));
  },
  (pool, { a }) => {
    const x = pool.pick(a);
    return pool.add(pool.g.reshape(x, [1, elementCount(x.shape)]), pool.bound(x));
  },
];
