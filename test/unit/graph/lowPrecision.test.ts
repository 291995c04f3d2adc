import { createEngine } from '@runner/engine/createEngine';
import { view } from '@runner/engine/engine';
import { layOut } from '@runner/engine/workspace';
import { isFloat } from '@runner/graph/ir';
import { CASTS, isLow, lowBits, ROUNDS_ONCE } from '@runner/graph/lowPrecision';
import { optimize } from '@runner/graph/passes/index';
import { gpt2 } from '@runner/models/gpt2';
import { newBuilder, ops } from '@runner/ops/index';
import { buildTraining } from '@runner/train/bodyProgram';
import { describe, expect, it } from 'vitest';

const LOW = ['bfloat16', 'float16'] as const;

describe('the table of casts', () => {
  it('names every op that takes real numbers, and none that is not there', () => {
    const onReals = [...ops.values()].filter(({ examples }) =>
      examples.some(({ inputs }) => inputs.some((input) => input && isFloat(input.dtype ?? 'float32'))),
    );
    expect(Object.keys(CASTS).sort()).toEqual(onReals.map(({ name }) => name).sort());
    for (const op of ROUNDS_ONCE) expect(CASTS, op).toHaveProperty(op);
  });
});

describe('numbers of 16 bits', () => {
  const engine = createEngine(ops);
  /** What ONNX Runtime makes of them. */
  async function throughCasts(values: Float32Array, low: (typeof LOW)[number]): Promise<Float32Array> {
    const g = newBuilder('casts');
    g.output('y', g.cast(g.cast(g.input('x', 'float32', [values.length]), low), 'float32'));
    const executable = await (await engine).compile(g.graph);
    const y = new Float32Array(values.length);
    await executable.run({ x: view(values, [values.length]) }, { y: view(y, [values.length]) });
    await executable.release();
    return y;
  }
  const wide = (bits: number, low: (typeof LOW)[number]): number => {
    if (low === 'bfloat16') return new Float32Array(Uint32Array.of(bits << 16).buffer)[0]!;
    const [sign, exponent, fraction] = [bits & 0x8000 ? -1 : 1, (bits >> 10) & 31, bits & 1023];
    if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
    return sign * (exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25));
  };

  it.each(LOW)('of %s are written as ONNX Runtime casts to them, ties and ends included', async (low) => {
    const values = Float32Array.from({ length: 20_000 }, (_, i) => Math.sin(i * 1.7) * 10 ** ((i % 90) / 10 - 6));
    // Halfway between two neighbours, and what lies beyond the largest.
    for (let i = 0; i < 4000; i++)
      values[i] = (1 + (i & 15) / (low === 'bfloat16' ? 256 : 2048)) * 2 ** ((i >> 4) % 15);
    values.set([0, -0, 65519, 65520, 65504, 1e5, -1e5, 2 ** -25, 3 * 2 ** -25, Number.POSITIVE_INFINITY], 4000);
    const expected = await throughCasts(values, low);
    values.forEach((value, i) => {
      expect(wide(lowBits(value, low), low), `${value}`).toBe(expected[i]);
    });
    expect(wide(lowBits(Number.NaN, low), low)).toBeNaN();
  });
});

describe.each(LOW)('a graph in %s', (low) => {
  const g = newBuilder('layer', low);
  const x = g.input('x', 'float32', [4, 6]);
  const h = g.gemm(x, g.input('w', 'float32', [6, 6]), g.input('b', 'float32', [6]));

  it('has products in 16 bits, sums over many numbers and sums with float32 in float32', () => {
    expect(h.dtype).toBe(low);
    expect(g.fastGelu(h).dtype).toBe(low);
    expect(g.softmax(h).dtype).toBe('float32');
    expect(g.add(x, h).dtype).toBe('float32');
    expect(g.add(h, h).dtype).toBe(low);
    expect(g.add(h, 1).dtype).toBe(low);
    expect(g.withoutCasts(() => g.softmax(h)).dtype).toBe(low);
  });

  it('casts a value once for all who read it', () => {
    const before = g.graph.nodes.length;
    g.gemm(x, g.graph.inputs[1]!);
    expect(g.graph.nodes.slice(before).map(({ op }) => op)).toEqual(['Gemm']);
  });

  it('runs where there are no kernels for it: only casts and moves are left in 16 bits', () => {
    g.output('y', g.fastGelu(g.add(g.transpose(h, [1, 0]), 2)));
    const widened = optimize(g.graph, ops);
    for (const node of widened.nodes) {
      if (['Cast', 'Transpose', 'Reshape'].includes(node.op)) continue;
      for (const value of [...node.inputs, ...node.outputs]) expect(isLow(value!.dtype), node.op).toBe(false);
    }
    expect(widened.outputs.get('y')!.dtype).toBe(low);
    const native = optimize(g.graph, ops, { hasLowKernel: () => true });
    expect(native.nodes.find(({ op }) => op === 'Gemm')!.outputs[0]!.dtype).toBe(low);
  });
});

describe('what a step keeps for its backward half', () => {
  const model = gpt2.parse(
    { model_type: 'gpt2', vocab_size: 96, n_embd: 64, n_layer: 2, n_head: 4, n_positions: 64, resid_pdrop: 0.1 },
    'config.json',
  );
  const shape = { batch: 2, length: 64, tokens: 128 };
  const trainable = new Set(model.parameters.map(({ name }) => name));
  const build = (precision?: 'bfloat16') =>
    buildTraining(newBuilder('body', precision), model, shape, { trainable, accumulate: false, checkpointing: false });
  const bytes = ({ buffers }: ReturnType<typeof build>) => layOut(buffers).bytes;

  it('is much less in 16 bits, and no copy of the weights', () => {
    const graphs = build('bfloat16');
    expect(bytes(graphs) / bytes(build())).toBeLessThan(0.75);
    const isWeight = ({ shape: [rows, columns] }: { shape: readonly number[] }) => rows === 64 && columns === 256;
    expect(graphs.saved.filter(isWeight)).toEqual([]);
    for (const [name, value] of graphs.backward[0]!.outputs)
      if (name.startsWith('grad:')) expect(value.dtype, name).toBe('float32');
  });
});
