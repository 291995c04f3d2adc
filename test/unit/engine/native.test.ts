import { execFile } from 'node:child_process';
import { cp, mkdir, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { collate } from '@runner/data/collate';
import { createEngine } from '@runner/engine/createEngine';
import { type Engine, view } from '@runner/engine/engine';
import { NativeEngine } from '@runner/engine/native';
import { NodeEngine } from '@runner/engine/node';
import { gpt2 } from '@runner/models/gpt2';
import { initializeParameters } from '@runner/models/initialize';
import { newBuilder, ops } from '@runner/ops/index';
import { Arena } from '@runner/train/arena';
import { TrainStep } from '@runner/train/trainStep';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { buildRunner } from '../../support/runner';
import { temporaryFolders } from '../hub/support';

const folder = temporaryFolders();
const root = fileURLToPath(new URL('../../..', import.meta.url));

afterEach(() => vi.unstubAllEnvs());

/** Twenty products of 2^18 numbers with 0.9. */
async function shrinking(engine: Engine) {
  const g = newBuilder('shrinking');
  let x = g.input('x', 'float32', [512, 512]);
  for (let i = 0; i < 20; i++) x = g.mul(x, g.input(`factor${i}`, 'float32', []));
  g.output('y', x);
  const factors = Object.fromEntries(
    Array.from({ length: 20 }, (_, i) => [`factor${i}`, view(Float32Array.of(0.9), [])] as const),
  );
  const executable = await engine.compile(g.graph);
  const y = new Float32Array(512 * 512);
  return {
    async run(x: number) {
      const inputs = { x: view(new Float32Array(512 * 512).fill(x), [512, 512]), ...factors };
      await executable.run(inputs, { y: view(y, [512, 512]) });
      return y;
    },
    release: () => executable.release(),
  };
}

/** A product after another: about a second. */
async function long(engine: Engine, size = 1024, count = 12) {
  const g = newBuilder('long');
  const m = g.input('m', 'float32', [size, size]);
  let x = m;
  for (let i = 0; i < count; i++) x = g.matMul(x, m);
  g.output('y', x);
  const executable = await engine.compile(g.graph);
  const identity = new Float32Array(size * size);
  for (let i = 0; i < size; i++) identity[i * size + i] = 1;
  const y = new Float32Array(size * size);
  return {
    y,
    run: (signal?: AbortSignal) =>
      executable.run({ m: view(identity, [size, size]) }, { y: view(y, [size, size]) }, signal),
    release: () => executable.release(),
  };
}

describe('the native engine', () => {
  it('trains to the same bits as the portable one', async () => {
    const model = gpt2.parse(
      { model_type: 'gpt2', vocab_size: 211, n_embd: 64, n_layer: 2, n_head: 4, n_positions: 64, resid_pdrop: 0.1 },
      'config.json',
    );
    const parameters = initializeParameters(model, 5);
    const rows = [40, 61, 17].map((length, row) => {
      const ids = Int32Array.from({ length }, (_, i) => (7 * i + 31 * row) % 211);
      return { inputIds: ids, labels: ids, line: row + 1, truncated: false };
    });
    const batch = collate(rows, { length: 64, padTokenId: 0 });
    const results: object[] = [];
    for (const engine of [new NativeEngine(ops), new NodeEngine(ops)]) {
      const gradients = new Arena(parameters.layout);
      const step = new TrainStep({ engine, newBuilder, model, parameters, gradients });
      const losses: number[] = [];
      for (const first of [true, false])
        losses.push(await step.accumulate(batch, { weight: 1 / 115, first, seed: first ? 3n : 4n }));
      losses.push((await step.evaluate(batch)).loss);
      await step.release();
      expect(gradients.data.some((value) => value !== 0)).toBe(true);
      results.push({ losses, gradients: gradients.data });
    }
    expect(results[0]).toEqual(results[1]);
  });

  it('takes numbers too small for a normal one as zero on every thread, so that a result is the same at every run', async () => {
    const graph = await shrinking(new NativeEngine(ops));
    expect(new Set(await graph.run(1e-36)).size).toBe(1);
    expect((await graph.run(1e-36))[0]).toBeCloseTo(1.2158e-37, 40);
    for (let i = 0; i < 3; i++) expect(new Set(await graph.run(2e-39))).toEqual(new Set([0]));
    // JavaScript's own numbers are left alone.
    expect(Number.MIN_VALUE / 1 > 0 && 1e-310 * 0.5 > 0).toBe(true);
    await graph.release();
  });

  it('leaves the event loop free while it computes', async () => {
    const graph = await long(new NativeEngine(ops));
    let isDone = false;
    const run = graph.run().then(() => {
      isDone = true;
    });
    let turns = 0;
    while (!isDone) {
      await new Promise((resolve) => setTimeout(resolve, 1));
      turns++;
    }
    await run;
    expect(turns).toBeGreaterThan(5);
    await graph.release();
  });

  it('is stopped in the middle, and runs again after it', async () => {
    const graph = await long(new NativeEngine(ops), 1024, 400);
    const stop = new AbortController();
    const run = graph.run(stop.signal);
    setTimeout(() => stop.abort(), 20);
    await expect(run).rejects.toMatchObject({ code: 'cancelled' });
    await expect(graph.run(stop.signal)).rejects.toMatchObject({ code: 'cancelled' });
    await graph.release();

    const short = await long(new NativeEngine(ops), 64, 2);
    const late = new AbortController();
    await short.run(late.signal);
    late.abort();
    await short.run();
    expect([short.y[0], short.y[1], short.y[65]]).toEqual([1, 0, 1]);
    await short.release();
  });

  it('says what ONNX Runtime says where a graph fails, and computes on', async () => {
    const g = newBuilder('look-up');
    const table = g.input('table', 'float32', [3, 2]);
    const ids = g.input('ids', 'int64', [1]);
    g.output('rows', g.gather(table, ids));
    const executable = await new NativeEngine(ops).compile(g.graph);
    const run = async (id: bigint) => {
      const rows = new Float32Array(2);
      const inputs = { table: view(Float32Array.of(1, 2, 3, 4, 5, 6), [3, 2]), ids: view(BigInt64Array.of(id), [1]) };
      await executable.run(inputs, { rows: view(rows, [1, 2]) });
      return [...rows];
    };
    expect(await run(1n)).toEqual([3, 4]);
    await expect(run(7n)).rejects.toMatchObject({
      code: 'engine_failed',
      message: expect.stringMatching(/while running graph look-up \(.*idx=7 must be within/),
    });
    expect(await run(2n)).toEqual([5, 6]);
    await executable.release();
  });

  it('takes float32 for an op that the device has no 16-bit kernel for, and learns which from its refusals', async () => {
    const results = [];
    for (const lowKernels of ['move', 'all'] as const) {
      const g = newBuilder('layer', 'bfloat16');
      const x = g.input('x', 'float32', [8, 16]);
      const h = g.fastGelu(g.gemm(x, g.input('w', 'float32', [16, 16])));
      g.output('y', g.add(g.softmax(g.transpose(h, [1, 0])), g.transpose(x, [1, 0])));
      const executable = await new NativeEngine(ops, { lowKernels }).compile(g.graph);
      const [data, y] = [Float32Array.from({ length: 256 }, (_, i) => Math.sin(i)), new Float32Array(128)];
      await executable.run(
        { x: view(data.subarray(0, 128), [8, 16]), w: view(data, [16, 16]) },
        { y: view(y, [16, 8]) },
      );
      results.push([...y]);
      const wide = executable.graph.nodes.filter(({ op }) => op === 'Gemm' || op === 'FastGelu');
      expect(wide.map(({ outputs }) => outputs[0]!.dtype)).toEqual(['float32', 'float32']);
      await executable.release();
    }
    expect(results[0]).toEqual(results[1]);
    expect(results[0]!.every(Number.isFinite)).toBe(true);
  });

  it('gives a model’s memory back when it is released', async () => {
    const engine = new NativeEngine(ops);
    const once = async () => {
      const g = newBuilder('table');
      const table = g.constant(new Float32Array(2 ** 21).fill(1.5), 'float32', [2 ** 21]);
      g.output('y', g.add(g.input('x', 'float32', [1]), g.gather(table, g.input('i', 'int64', [1]))));
      const executable = await engine.compile(g.graph);
      const y = new Float32Array(1);
      await executable.run(
        { x: view(Float32Array.of(1), [1]), i: view(BigInt64Array.of(9n), [1]) },
        { y: view(y, [1]) },
      );
      expect(y[0]).toBe(2.5);
      await executable.release();
    };
    for (let i = 0; i < 5; i++) await once();
    const before = process.memoryUsage.rss();
    // 8 MB each.
    for (let i = 0; i < 40; i++) await once();
    expect((process.memoryUsage.rss() - before) / 2 ** 20).toBeLessThan(160);
  });
});

describe('the engine of a run', () => {
  it('is the native one where nothing speaks against it', async () => {
    const engine = await createEngine(ops);
    expect(engine).toBeInstanceOf(NativeEngine);
    expect(engine.fallback).toBeUndefined();
    expect(engine.runtime).toBe('1.29.0');
  });

  it('is the portable one where that is asked for', async () => {
    vi.stubEnv('TUNEYARD_ENGINE', 'portable');
    const engine = await createEngine(ops);
    expect(engine).toBeInstanceOf(NodeEngine);
    expect(engine.fallback).toBe('TUNEYARD_ENGINE=portable');
  });

  it('is the portable one where what calls C is not installed, and says so', async () => {
    await buildRunner();
    const home = await folder();
    await mkdir(join(home, 'node_modules'));
    for (const name of ['onnxruntime-node', 'onnxruntime-common'])
      await symlink(join(root, 'node_modules', name), join(home, 'node_modules', name));
    for (const part of ['bin', 'dist'])
      await cp(join(root, 'remote-runner', part), join(home, part), { recursive: true });
    const { stdout } = await promisify(execFile)(process.execPath, [
      join(home, 'bin/tuneyard.mjs'),
      'doctor',
      '--json',
    ]).catch((error: { stdout: string }) => error);
    const checks = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(JSON.stringify(checks)).toMatch(/not through its C API, which is faster: Cannot find module 'koffi'/);
  });
});
