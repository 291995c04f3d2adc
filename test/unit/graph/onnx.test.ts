/** What is serialised must be what ONNX Runtime reads: names, types, attributes, and weights that stay in their file. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type DType, Graph } from '@runner/graph/ir';
import { serializeModel } from '@runner/graph/onnx';
import { openSafetensors } from '@runner/hub/safetensors';
import { newBuilder, ops } from '@runner/ops';
import onnxProto from 'onnx-proto';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { rawSafetensors, temporaryFolders } from '../hub/support';
import { evaluate, numbers, typed } from '../ops/support';
import { runGraph } from './support';

const newFolder = temporaryFolders();

describe('frozen weights', () => {
  it('are read from the safetensors file where they lie, at an odd offset, and not copied into the model', async () => {
    const dir = await newFolder();
    const file = join(dir, 'weights.safetensors');
    const values = Float32Array.from({ length: 6 }, (_, i) => i + 0.5);
    const data = Buffer.concat([Buffer.from([1, 2, 3]), Buffer.from(values.buffer)]);
    const header = {
      bytes: { dtype: 'U8', shape: [3], data_offsets: [0, 3] },
      weight: { dtype: 'F32', shape: [2, 3], data_offsets: [3, 27] },
    };
    // Spaces behind the header are allowed; they set where the tensors begin.
    const padding = ' '.repeat((8 - (JSON.stringify(header).length % 8)) % 8);
    await writeFile(file, rawSafetensors(JSON.stringify(header) + padding, data));
    const { offset, length } = (await openSafetensors(file)).info('weight');
    expect(offset % 4).toBe(3);

    const g = newBuilder('frozen');
    const weight = g.graph.addExternal('weight', { dtype: 'float32', shape: [2, 3] }, { file, offset, length });
    g.output('y', g.matMul(g.input('x', 'float32', [1, 2]), weight));
    const model = join(dir, 'model.onnx');
    const bytes = serializeModel(g.graph, ops);
    expect(Buffer.from(bytes).includes(Buffer.from(values.buffer))).toBe(false);
    await writeFile(model, bytes);

    const session = await InferenceSession.create(model, { logSeverityLevel: 3 });
    const { y } = await session.run({ x: new Tensor('float32', Float32Array.of(1, 10), [1, 2]) });
    await session.release();
    expect([...(y!.data as Float32Array)]).toEqual([35.5, 46.5, 57.5]);
  });
});

describe('attributes', () => {
  it('keep their kinds: a float that is a whole number stays a float, lists, types and texts are what they were', async () => {
    const g = newBuilder('attributes');
    const x = g.input('x', 'float32', [2, 2]);
    // alpha and epsilon are floats in ONNX also where JavaScript sees an integer.
    g.output('fused', g.fusedMatMul(x, x, { transB: true, alpha: 2 }));
    g.output('normed', g.layerNorm(x, g.ones([2]), g.zeros([2]), 1));
    g.output('cast', g.cast(x, 'int32'));
    g.output('turned', g.transpose(x, [1, 0]));
    g.output('added', g.scatterAdd(x, g.constant(BigInt64Array.of(0n, 0n), 'int64', [2, 1]), g.ones([2, 1]), 1));
    const results = await runGraph(g.graph, { x: Float32Array.of(1, 2, 3, 5) });
    expect(results.fused).toEqual([10, 26, 26, 68]);
    // (x − mean) / √(variance + 1): variances ¼ and 1.
    [-0.5 / Math.sqrt(1.25), 0.5 / Math.sqrt(1.25), -1 / Math.SQRT2, 1 / Math.SQRT2].forEach((value, i) => {
      expect(results.normed![i]).toBeCloseTo(value, 5);
    });
    expect(results.cast).toEqual([1, 2, 3, 5]);
    expect(results.turned).toEqual([1, 3, 2, 5]);
    expect(results.added).toEqual([2, 2, 4, 5]);
  });
});

describe('names and types', () => {
  it('gives every declared result its name: an input, a constant, and one value under two names', async () => {
    const g = newBuilder('results');
    const x = g.input('x', 'float32', [2]);
    const y = g.neg(x);
    g.output('first', y);
    g.output('second', y);
    g.output('as_it_came', x);
    g.output('constant', g.constant(Float32Array.of(7), 'float32', [1]));
    g.output('after', g.abs(y));
    expect(await runGraph(g.graph, { x: Float32Array.of(1, -2) })).toEqual({
      first: [-1, 2],
      second: [-1, 2],
      as_it_came: [1, -2],
      constant: [7],
      after: [1, 2],
    });
  });

  it.each<DType>(['float32', 'float64', 'int64', 'uint64', 'int32', 'uint32', 'uint8', 'bool'])(
    'carries %s constants and inputs whole',
    async (dtype) => {
      const g = newBuilder(dtype);
      const data = typed(dtype, [1, 0, 1]);
      g.output('constant', g.constant(data, dtype, [3]));
      g.output('input', g.input('x', dtype, [3]));
      const results = await evaluate(g, { x: data });
      for (const name of ['constant', 'input']) {
        expect(results[name]).toMatchObject({ dtype, shape: [3] });
        expect(numbers(results[name]!)).toEqual([1, 0, 1]);
      }
    },
  );

  it('takes a view of a larger buffer for the view alone', async () => {
    const g = newBuilder('view');
    g.output('y', g.constant(Float32Array.of(9, 1, 2, 9).subarray(1, 3), 'float32', [2]));
    expect(await runGraph(g.graph, {})).toEqual({ y: [1, 2] });
  });

  it('writes opset 18, com.microsoft 1, and in each node the place it comes from', () => {
    const g = newBuilder('places');
    const x = g.input('x', 'float32', [2]);
    g.output(
      'y',
      g.scope('h.0', () => g.scope('ln_1', () => g.silu(x))),
    );
    const model = onnxProto.onnx.ModelProto.decode(serializeModel(g.graph, ops));
    expect(model.opsetImport.map(({ domain, version }) => [domain, Number(version)])).toEqual([
      ['', 18],
      ['com.microsoft', 1],
    ]);
    const nodes = model.graph!.node!;
    expect(nodes.length).toBeGreaterThan(0);
    expect(new Set(nodes.map(({ docString }) => docString))).toEqual(new Set(['h.0/ln_1']));
    expect(new Set(nodes.map(({ name }) => name)).size).toBe(nodes.length);
  });

  it('names an op that there is not instead of writing a model that does not load', () => {
    const graph = new Graph('unknown');
    const x = graph.addInput('x', { dtype: 'float32', shape: [1] });
    graph.setOutput('y', graph.addNode('Tan', [x], {}, [x], 'h.0').outputs[0]!);
    expect(() => serializeModel(graph, ops)).toThrow('there is no op Tan');
  });
});
