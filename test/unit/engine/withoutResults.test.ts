import { view } from '@runner/engine/engine';
import { NodeEngine } from '@runner/engine/node';
import { newBuilder, ops } from '@runner/ops/index';
import { describe, expect, it } from 'vitest';

const engine = new NodeEngine(ops);

describe('a run', () => {
  it('fills the memory it was given and allocates none for results, or training would hold its gradients twice', async () => {
    const size = 2 ** 24;
    const g = newBuilder('double');
    const x = g.input('x', 'float32', [size]);
    g.output('y', g.mul(x, 2));
    g.output('z', g.add(x, 1));
    const executable = await engine.compile(g.graph);
    const input = view(new Float32Array(size).fill(3), [size]);
    const outputs = { y: view(new Float32Array(size), [size]), z: view(new Float32Array(size), [size]) };
    const before = process.memoryUsage().arrayBuffers;
    await executable.run({ x: input }, outputs);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(size);
    expect([outputs.y.data[size - 1], outputs.z.data[size - 1]]).toEqual([6, 4]);
    await executable.release();
  });

  it('still rejects where the graph fails', async () => {
    const g = newBuilder('look-up');
    const table = g.input('table', 'float32', [3, 2]);
    const ids = g.input('ids', 'int64', [1]);
    g.output('rows', g.gather(table, ids));
    const executable = await engine.compile(g.graph);
    const run = executable.run(
      { table: view(new Float32Array(6), [3, 2]), ids: view(BigInt64Array.of(7n), [1]) },
      { rows: view(new Float32Array(2), [1, 2]) },
    );
    await expect(run).rejects.toMatchObject({ code: 'engine_failed', message: expect.stringContaining('look-up') });
    await executable.release();
  });
});
