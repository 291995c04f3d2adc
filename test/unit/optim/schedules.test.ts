import { learningRateAt } from '@runner/optim/schedules';
import { describe, expect, it } from 'vitest';
import { readSchedules } from '../../reference/fixtures';

const { learning_rate: peak, total_steps: totalSteps, cases } = readSchedules();
const rates = (name: (typeof cases)[number]['name'], warmupSteps: number) =>
  Array.from({ length: totalSteps + 1 }, (_, step) => learningRateAt(name, { step, totalSteps, warmupSteps, peak }));

function expectEqual(ours: number[], theirs: number[]): void {
  expect(ours).toHaveLength(theirs.length);
  for (const [step, rate] of theirs.entries()) {
    expect(Math.abs(ours[step]! - rate), `step ${step}`).toBeLessThanOrEqual(1e-6 * peak);
  }
}

describe('the learning rate', () => {
  it.each(cases.filter(({ name, warmup_steps }) => name !== 'constant' || warmup_steps === 0))(
    'equals transformers’ at every step: $name, warmup $warmup_steps',
    ({ name, warmup_steps, learning_rates }) => {
      expectEqual(rates(name, warmup_steps), learning_rates);
    },
  );

  it('warms up with constant too, as constant_with_warmup does', () => {
    const warmed = cases.find(({ name, warmup_steps }) => name === 'constant_with_warmup' && warmup_steps === 7)!;
    expectEqual(rates('constant', 7), warmed.learning_rates);
  });

  it('is never negative or undefined when a run goes on past its end or warmup takes all of it', () => {
    for (const type of ['linear', 'cosine', 'constant', 'constant_with_warmup'] as const) {
      for (const step of [0, 9, 10, 11, 1000]) {
        const rate = learningRateAt(type, { step, totalSteps: 10, warmupSteps: 10, peak });
        expect(rate, `${type} ${step}`).toBeGreaterThanOrEqual(0);
        expect(rate, `${type} ${step}`).toBeLessThanOrEqual(peak);
      }
    }
  });
});
