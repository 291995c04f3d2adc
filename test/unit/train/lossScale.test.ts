import {
  firstLossScale,
  type LossScale,
  precisionOf,
  requirePrecision,
  updateLossScale,
} from '@runner/train/precision';
import { parseTrainerState } from '@runner/train/trainerState';
import { describe, expect, it } from 'vitest';
import { trainReference } from '../../reference/trainReference';

describe('the scale of an fp16 loss', () => {
  it('is halved by a step that overflows, doubled after 2000 that do not, as GradScaler has it', () => {
    const state = firstLossScale('float16')!;
    expect(state.scale).toBe(65_536);
    expect(updateLossScale(state, true)).toBe(true);
    expect(state).toEqual({ scale: 32_768, clean_steps: 0, skipped_steps: 1 });
    for (let i = 0; i < 1999; i++) updateLossScale(state, false);
    expect(state.scale).toBe(32_768);
    updateLossScale(state, false);
    expect(state).toEqual({ scale: 65_536, clean_steps: 0, skipped_steps: 1 });
  });

  it('has an end below 1', () => {
    const state: LossScale = { scale: 2, clean_steps: 5, skipped_steps: 3 };
    expect(updateLossScale(state, true)).toBe(true);
    expect(updateLossScale(state, true)).toBe(false);
  });

  it('is for float16 alone', () => {
    expect(firstLossScale('bfloat16')).toBeNull();
    expect(precisionOf({ bf16: true, fp16: false })).toBe('bfloat16');
    expect(precisionOf({ bf16: false, fp16: false })).toBe('float32');
  });

  it('is nothing that a checkpoint without it lacks', () => {
    const old = {
      step: 3,
      total_steps: 9,
      tokens_seen: 0,
      runtime: 0,
      window: { loss_sum: 0, supervised_tokens: 0, tokens: 0, steps: 0, seconds: 0 },
      best: null,
      evals_without_gain: 0,
      evaluation_due: false,
      first_loss: null,
      last_loss: null,
      last_eval_loss: null,
      fingerprint: '',
    };
    expect(parseTrainerState(old, 'trainer_state.json').loss_scale).toBeNull();
  });
});

describe('an fp16 run', () => {
  it('skips steps that overflow, counts them, and then learns as one that began with the right scale', async () => {
    const right = await trainReference('gpt2-b-epochs', { fp16: true });
    const high = await trainReference(
      'gpt2-b-epochs',
      { fp16: true },
      { scale: 2 ** 26, clean_steps: 0, skipped_steps: 0 },
    );
    const skipped = high.logs.at(-1)!.skipped_steps!;
    expect(skipped).toBeGreaterThan(0);
    expect(right.logs.at(-1)).toMatchObject({ skipped_steps: 0, loss_scale: 65_536 });
    expect(high.logs.at(-1)!.loss_scale).toBe(2 ** (26 - skipped));
    // A step that was skipped has taught nothing, and the rate has waited for it.
    expect(high.logs[0]!.loss).toBeCloseTo(right.logs[0]!.loss, 5);
    high.logs.forEach(({ learning_rate }, i) => {
      const before = high.logs[i - 1]?.skipped_steps ?? 0;
      expect(learning_rate).toBe(right.logs[i - before]!.learning_rate);
    });
  });

  it('fails with a sentence where no scale helps', async () => {
    const hopeless = trainReference(
      'gpt2-b-epochs',
      { fp16: true },
      { scale: 1.5, clean_steps: 0, skipped_steps: 0 },
      (weights) => {
        weights.data.fill(300);
      },
    );
    await expect(hopeless).rejects.toMatchObject({
      code: 'not_finite',
      message: expect.stringMatching(/became .* at step 1.*Use bf16 in place of fp16/),
    });
  });
});

it('bf16 is refused of an engine that cannot hand it over, and fp16 is not', () => {
  const portable = { label: 'CPU', runtime: '1.29.0', fallback: 'koffi not found', compile: () => Promise.reject() };
  expect(() => requirePrecision(portable, 'bfloat16')).toThrow('cannot be used here: koffi not found');
  expect(() => requirePrecision(portable, 'float16')).not.toThrow();
  expect(() => requirePrecision({ ...portable, fallback: undefined }, 'bfloat16')).not.toThrow();
});
