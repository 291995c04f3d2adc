import type { GenerationRecipe } from '@protocol/recipe';
import { logitsProcessors, topPFilter } from '@runner/generate/logits';
import { describe, expect, it } from 'vitest';
import { generationOptions, readFixture } from './tinyRnn';

interface ProcessorFixture {
  cases: {
    options: Partial<GenerationRecipe>;
    rows: { history: number[]; before: (number | null)[]; after: (number | null)[] }[];
  }[];
}
const fixture = readFixture<ProcessorFixture>('processors.json');
const toScores = (row: (number | null)[]) => Float32Array.from(row, (x) => x ?? Number.NEGATIVE_INFINITY);

describe('logitsProcessors', () => {
  for (const { options, rows } of fixture.cases) {
    it(`leaves the very scores transformers leaves for ${JSON.stringify(options)}`, () => {
      const recipe = generationOptions({ do_sample: true, top_k: 0, ...options });
      for (const { history, before, after } of rows) {
        const scores = toScores(before);
        // transformers keeps one more than there are end-of-sequence tokens where there are beams.
        for (const process of logitsProcessors(recipe, recipe.num_beams > 1 ? 2 : 1)) {
          process(Int32Array.from(history), scores);
        }
        expect([...scores]).toEqual([...toScores(after)]);
      }
    });
  }

  it('does not bend greedy decoding by temperature, top-k or top-p', () => {
    const options = generationOptions({ do_sample: false, temperature: 0.2, top_k: 1, top_p: 0.1 });
    expect(logitsProcessors(options)).toEqual([]);
  });

  it('top-p drops as many of equal scores as it must, the first ones, on every machine', () => {
    const scores = Float32Array.of(0, 1, 0, 1, 0, 1);
    topPFilter(0.4)(new Int32Array(0), scores);
    const gone = Number.NEGATIVE_INFINITY;
    expect([...scores]).toEqual([gone, gone, gone, 1, gone, 1]);
  });

  it('top-p leaves a token even where all the probability mass is in one', () => {
    const scores = Float32Array.of(100, -100, -100);
    topPFilter(0.01)(new Int32Array(0), scores);
    expect([...scores]).toEqual([100, Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY]);
  });
});
