/** What `estimate` says of memory: too little and a run dies in its first step, too much and one that fits is not tried. */
import { peakWorkingBytes } from '@runner/graph/peakMemory';
import { newBuilder } from '@runner/ops';
import { describe, expect, it } from 'vitest';

describe('the largest sum of values alive at once', () => {
  it('leaves out what somebody else owns: inputs, constants and results', () => {
    const g = newBuilder('owned');
    const x = g.input('x', 'float32', [4, 8]);
    g.output('y', g.matMul(x, g.constant(new Float32Array(64), 'float32', [8, 8])));
    expect(peakWorkingBytes(g.graph)).toBe(0);
  });

  it('counts a value until its last reader, however many it has', () => {
    const g = newBuilder('chain');
    const x = g.input('x', 'float32', [10, 10]);
    const a = g.matMul(x, x);
    const b = g.matMul(a, a);
    const c = g.matMul(b, b);
    g.output('y', g.matMul(c, c));
    // Two neighbours at a time, of 400 bytes each: never three.
    expect(peakWorkingBytes(g.graph)).toBe(800);

    const kept = newBuilder('kept');
    const z = kept.input('x', 'float32', [10, 10]);
    const first = kept.matMul(z, z);
    const second = kept.matMul(first, first);
    const third = kept.matMul(second, second);
    kept.output('y', kept.matMul(third, first));
    expect(peakWorkingBytes(kept.graph)).toBe(1200);
  });

  it('takes away once what one node reads twice', () => {
    const g = newBuilder('squared');
    const x = g.input('x', 'float32', [10, 10]);
    const a = g.matMul(x, x);
    const b = g.matMul(a, a);
    const c = g.matMul(b, g.input('w', 'float32', [10, 100]));
    g.output('y', g.matMul(c, g.input('v', 'float32', [100, 1])));
    expect(peakWorkingBytes(g.graph)).toBe(400 + 4000);
  });

  it('counts the bytes of each type', () => {
    const g = newBuilder('types');
    const x = g.input('x', 'float32', [100]);
    const wide = g.cast(x, 'float64');
    g.output('y', g.cast(g.cast(wide, 'float16'), 'float32'));
    expect(peakWorkingBytes(g.graph)).toBe(800 + 200);
  });

  it('counts one buffer for what is computed in place, where nobody reads the operand any more', () => {
    const chain = newBuilder('in place');
    const x = chain.input('x', 'float32', [10, 10]);
    chain.output('y', chain.matMul(chain.tanh(chain.add(chain.matMul(x, x), 1)), x));
    expect(peakWorkingBytes(chain.graph)).toBe(400);

    const read = newBuilder('still read');
    const z = read.input('x', 'float32', [10, 10]);
    const product = read.matMul(z, z);
    read.output('y', read.matMul(read.tanh(product), product));
    expect(peakWorkingBytes(read.graph)).toBe(800);
  });

  it('needs a buffer of its own for a result that is larger than its operand', () => {
    const g = newBuilder('stretched');
    const x = g.input('x', 'float32', [10, 10]);
    const row = g.reduceSum(x, [0]);
    g.output('y', g.matMul(g.add(row, x), x));
    expect(peakWorkingBytes(g.graph)).toBe(40 + 400);
  });

  it('gives back each wide part before the next: five in a row need no more than one', () => {
    const peakOf = (parts: number) => {
      const g = newBuilder('parts');
      let x = g.input('x', 'float32', [10, 10]);
      for (let i = 0; i < parts; i++) x = g.matMul(g.matMul(x, g.zeros([10, 1000])), g.zeros([1000, 10]));
      g.output('y', g.exp(x));
      return peakWorkingBytes(g.graph);
    };
    // A wide product, the zeros [1000, 10] and the narrow product of both.
    expect(peakOf(1)).toBe(40_000 + 40_000 + 400);
    expect(peakOf(5)).toBe(peakOf(1));
  });
});
