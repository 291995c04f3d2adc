/**
 * Look-ups and additions with repeated ids on many threads: a race here would silently spoil the gradient of an embedding,
 * as ScatterND's `add` does. Sums of whole numbers are exact in float32 whatever their order, so one wrong run shows.
 */
import { vjp } from '@runner/autodiff/grad';
import { Random } from '@runner/data/random';
import { newBuilder } from '@runner/ops';
import { describe, expect, it } from 'vitest';
import { type Data, numbers, Runner } from './support';

const THREADS = 8;
const RUNS = 200;
// Large enough that the runtime spreads the rows over threads: ScatterND with `add` is wrong here in some 40 of 200 runs.
const [ROWS, WIDTH, IDS] = [2000, 128, 500];

describe.each([7, 500])('%d distinct ids, eight threads, two hundred runs', (distinct) => {
  const random = new Random(distinct);
  const ids = BigInt64Array.from({ length: ROWS }, () => BigInt(random.nextInt(distinct)));
  const rows = Float32Array.from({ length: ROWS * WIDTH }, () => random.nextInt(200) - 100);
  const expected = new Float32Array(IDS * WIDTH);
  ids.forEach((id, i) => {
    for (let j = 0; j < WIDTH; j++) expected[Number(id) * WIDTH + j]! += rows[i * WIDTH + j]!;
  });

  async function alwaysExpected(runner: Runner, feeds: Record<string, Data>): Promise<void> {
    let wrong = 0;
    for (let run = 0; run < RUNS; run++) {
      const { sum } = await runner.run(feeds);
      if ((sum!.data as Float32Array).some((value, i) => value !== expected[i])) wrong++;
    }
    await runner.release();
    expect(wrong).toBe(0);
  }

  it('ScatterElements adds every row', async () => {
    const builder = newBuilder('scatter');
    const updates = builder.input('rows', 'float32', [ROWS, WIDTH]);
    const indices = builder.expand(builder.reshape(builder.input('ids', 'int64', [ROWS]), [ROWS, 1]), [ROWS, WIDTH]);
    builder.output('sum', builder.scatterAdd(builder.zeros([IDS, WIDTH]), indices, updates, 0));
    await alwaysExpected(await Runner.load(builder, THREADS), { rows, ids });
  });

  it('the gradient of an embedding holds every use of a token', async () => {
    const builder = newBuilder('embedding');
    const table = builder.input('table', 'float32', [IDS, WIDTH]);
    const looked = builder.gather(table, builder.input('ids', 'int64', [ROWS]));
    const { gradients } = vjp(builder, [looked], [builder.input('rows', 'float32', [ROWS, WIDTH])], [table]);
    builder.output('sum', gradients[0]!);
    await alwaysExpected(await Runner.load(builder, THREADS), { table: new Float32Array(IDS * WIDTH), rows, ids });
  });
});

describe('a row-sparse gradient', () => {
  it('is the ids and rows as they were looked up, and leaves nothing for the dense one', async () => {
    const builder = newBuilder('sparse');
    const table = builder.input('table', 'float32', [5, 3]);
    const looked = builder.gather(table, builder.input('ids', 'int32', [2, 2]));
    const dy = builder.input('dy', 'float32', [2, 2, 3]);
    const { gradients, sparse } = vjp(builder, [looked], [dy], [table], { rowSparse: new Set([table]) });
    expect(gradients).toEqual([null]);
    const [part] = sparse.get(table)!;
    builder.output('ids64', part!.indices);
    builder.output('rows', part!.rows);
    const runner = await Runner.load(builder);
    const values = Float32Array.from({ length: 12 }, (_, i) => i);
    const results = await runner.run({ table: new Float32Array(15), ids: Int32Array.of(4, 0, 4, 4), dy: values });
    await runner.release();
    expect(results.ids64).toMatchObject({ shape: [4], dtype: 'int64' });
    expect(numbers(results.ids64!)).toEqual([4, 0, 4, 4]);
    expect(results.rows!.shape).toEqual([4, 3]);
    expect(numbers(results.rows!)).toEqual([...values]);
  });
});
