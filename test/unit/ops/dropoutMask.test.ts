/** Dropout's masks: the right share, independent of each other, and the same whenever the same step is run again. */
import { newBuilder } from '@runner/ops';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { numbers, Runner } from './support';

const ROWS = 400;
const COLUMNS = 300;
const COUNT = ROWS * COLUMNS;
/** The limit for one standard score. Tests below that look at many scores compare their maximum with 7. */
const SIGMA = 5;

/** Masks as 0 and 1, of [ROWS, COLUMNS], by seed: one runner a site. */
class Site {
  private constructor(private readonly runner: Runner) {}

  static async load(p: number, layer: number, threads = 1): Promise<Site> {
    const builder = newBuilder('dropout');
    const seed = builder.input('seed', 'int64', []);
    builder.output('y', builder.apply('DropoutMask', [seed], { shape: [ROWS, COLUMNS], p, layer }));
    return new Site(await Runner.load(builder, threads));
  }

  async mask(seed: number | bigint): Promise<number[]> {
    const { y } = await this.runner.run({ seed: BigInt64Array.of(BigInt(seed)) });
    return numbers(y!).map((value) => (value === 0 ? 0 : 1));
  }

  release(): Promise<void> {
    return this.runner.release();
  }
}

/** Standard score of the correlation of two masks that were drawn with the same share. */
function score(a: readonly number[], b: readonly number[], share: number): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i]! - share) * (b[i]! - share);
  return sum / (share * (1 - share) * Math.sqrt(a.length));
}

describe('dropout', () => {
  const share = 0.9;
  let site: Site;
  let mask: number[];
  beforeAll(async () => {
    site = await Site.load(1 - share, 3);
    mask = await site.mask(1000);
  });
  afterAll(() => site.release());

  it.each([0.05, 0.1, 0.5, 0.9])('drops the share %f that the recipe asks for', async (p) => {
    const other = await Site.load(p, 0);
    for (const seed of [0, 1, 2 ** 40]) {
      const kept = (await other.mask(seed)).reduce((a, b) => a + b, 0);
      expect(Math.abs(kept - COUNT * (1 - p))).toBeLessThan(SIGMA * Math.sqrt(COUNT * p * (1 - p)));
    }
    await other.release();
  });

  it('keeps the expected value: what stays is scaled by 1/(1 − p)', async () => {
    const builder = newBuilder('scale');
    builder.output(
      'y',
      builder.apply('DropoutMask', [builder.scalar(5, 'int64')], { shape: [8, 8], p: 0.2, layer: 1 }),
    );
    const runner = await Runner.load(builder);
    const { y } = await runner.run({});
    await runner.release();
    expect(new Set(numbers(y!))).toEqual(new Set([0, Math.fround(1.25)]));
  });

  it('repeats a step exactly, in another session and with other threads: a resumed run loses nothing', async () => {
    expect(await site.mask(1000)).toEqual(mask);
    const again = await Site.load(1 - share, 3, 4);
    expect(await again.mask(1000)).toEqual(mask);
    await again.release();
  });

  it('draws anew at each step, also at steps that follow each other or lie far apart', async () => {
    for (const seed of [0, 999, 1001, 1002, -1000, 2n ** 62n]) {
      expect(Math.abs(score(mask, await site.mask(seed), share)), `seed ${seed}`).toBeLessThan(SIGMA);
    }
  });

  it('draws anew at each place in the model', async () => {
    for (const layer of [0, 1, 2, 4, 5]) {
      const other = await Site.load(1 - share, layer);
      expect(Math.abs(score(mask, await other.mask(1000), share)), `layer ${layer}`).toBeLessThan(SIGMA);
      // Neither is a place's mask that of another place a few steps later.
      expect(Math.abs(score(mask, await other.mask(1000 + 3 - layer), share)), `layer ${layer}`).toBeLessThan(SIGMA);
      await other.release();
    }
  });

  it('draws rows and columns independently of each other', async () => {
    const [half, fair] = [await Site.load(0.5, 7), 0.5];
    const drawn = await half.mask(12);
    await half.release();
    const row = (i: number) => drawn.slice(i * COLUMNS, (i + 1) * COLUMNS);
    const column = (j: number) => Array.from({ length: ROWS }, (_, i) => drawn[i * COLUMNS + j]!);
    for (const lines of [
      Array.from({ length: ROWS }, (_, i) => row(i)),
      Array.from({ length: COLUMNS }, (_, j) => column(j)),
    ]) {
      let worst = 0;
      for (let a = 0; a < lines.length; a++) {
        for (let b = 0; b < a; b++) worst = Math.max(worst, Math.abs(score(lines[a]!, lines[b]!, fair)));
      }
      expect(worst).toBeLessThan(7);
      // The scatter of the lines' sums is that of independent draws.
      const length = lines[0]!.length;
      const chi = lines.reduce(
        (sum, line) => sum + (line.reduce((a, b) => a + b, 0) - length / 2) ** 2 / (length / 4),
        0,
      );
      expect(Math.abs(chi - lines.length) / Math.sqrt(2 * lines.length)).toBeLessThan(SIGMA);
    }
  });

  it('draws the corners of rectangles independently, though an element is a product of its row and its column', async () => {
    const half = await Site.load(0.5, 9);
    const drawn = (await half.mask(77)).map((value) => 2 * value - 1);
    await half.release();
    let sum = 0;
    let count = 0;
    for (const [down, right] of [
      [1, 1],
      [2, 1],
      [1, 3],
      [200, 150],
      [7, 64],
    ] as const) {
      for (let i = 0; i + down < ROWS; i += 2 * down) {
        for (let j = 0; j + right < COLUMNS; j += 2 * right) {
          const at = i * COLUMNS + j;
          sum += drawn[at]! * drawn[at + right]! * drawn[at + down * COLUMNS]! * drawn[at + down * COLUMNS + right]!;
          count++;
        }
      }
    }
    expect(Math.abs(sum) / Math.sqrt(count)).toBeLessThan(SIGMA);
  });
});
