import { logitsProcessors } from '@runner/generate/logits';
import { describe, expect, it } from 'vitest';
import { deviation, readProcessors } from './fixtures';

const { histories, before, cases } = readProcessors();
const neutral = { temperature: 1, top_k: 0, top_p: 1, repetition_penalty: 1, no_repeat_ngram_size: 0, do_sample: true };

describe('logits processors do what transformers does', () => {
  it.each(cases.map((entry) => [JSON.stringify(entry.options), entry] as const))('%s', (_name, { options, after }) => {
    const processors = logitsProcessors({ ...neutral, ...options });
    for (const [row, history] of histories.entries()) {
      const scores = Float32Array.from(before[row]!);
      for (const process of processors) process(Int32Array.from(history), scores);
      const isOut = (score: number) => score === Number.NEGATIVE_INFINITY;
      expect([...scores].map(isOut), `row ${row}`).toEqual(after[row]!.map(isOut));
      const kept = (values: Iterable<number>) => [...values].filter((score) => !isOut(score));
      expect(deviation(kept(scores), kept(after[row]!)), `row ${row}`).toBeLessThan(1e-6);
    }
  });
});
