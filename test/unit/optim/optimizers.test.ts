import { optimizerStateSize } from '@runner/optim/index';
import type { OptimizerRecipe } from '@runner/optim/optimizer';
import { layoutArena, type TensorSpec } from '@runner/train/arena';
import { describe, expect, it } from 'vitest';
import { deviation, readOptimizers } from '../../reference/fixtures';
import { RECIPE, setUp } from './support';

const reference = readOptimizers();
const TENSORS = ['matrix', 'vector', 'embedding'] as const;
const NAMES = ['adamw', 'adam', 'sgd', 'adagrad', 'adafactor'] as const;
const specs = (decay: boolean): TensorSpec[] => TENSORS.map((name) => ({ name, shape: reference.shapes[name], decay }));

/** A fixture's options as a recipe says them. */
function recipeOf({ betas, eps, momentum, weight_decay }: Record<string, unknown>): Partial<OptimizerRecipe> {
  return {
    weight_decay: weight_decay as number,
    ...(Array.isArray(betas) ? { adam_beta1: betas[0], adam_beta2: betas[1], adam_epsilon: eps as number } : {}),
    ...(momentum === undefined ? {} : { sgd_momentum: momentum as number }),
  };
}

/** The largest gap. Weights are up to 2.4, where float32 has steps of 2.4e-7; they move by up to 0.1. */
function gap(ours: Float32Array, theirs: number[]): number {
  return Math.max(...theirs.map((value, i) => Math.abs(ours[i]! - value)));
}

const WAYS = [
  ['arenas apart', false],
  ['arenas together', true],
] as const;

describe.each(Object.entries(reference.cases))('%s', (caseName, { options, parameters: expected }) => {
  const name = NAMES.find((known) => caseName.split('-')[0] === known)!;

  it.each(WAYS)('moves weights as torch and transformers do, step by step, %s', async (_, together) => {
    const { optimizer, parameters, gradients } = await setUp(name, specs(true), recipeOf(options), together);
    for (const tensor of TENSORS) parameters.slice(tensor).set(reference.start[tensor]);
    for (const [i, gradient] of reference.gradients.entries()) {
      // What was scaled up by a power of two comes back exactly.
      for (const tensor of TENSORS) gradients.slice(tensor).set(gradient[tensor].map((value) => 4 * value));
      await optimizer.step({ learningRate: reference.learning_rates[i]!, gradientScale: 0.25, step: i + 1 });
      for (const tensor of TENSORS) {
        expect(gap(parameters.slice(tensor), expected[i]![tensor]), `${tensor} after step ${i + 1}`).toBeLessThan(6e-7);
      }
    }
    await optimizer.release();
  });
});

describe.each(NAMES)('%s', (name) => {
  const recipe = { weight_decay: 0.1, sgd_momentum: 0.9 };
  const fill = (data: Float32Array, seed: number) => {
    for (let i = 0; i < data.length; i++) data[i] = Math.sin(seed + 1.7 * i);
  };

  it.each(WAYS)('leaves what does not decay as it would be without weight decay, %s', async (_, together) => {
    const mixed = [
      { name: 'bias', shape: [9], decay: false },
      { name: 'weight', shape: [6, 5], decay: true },
    ];
    const after = await Promise.all(
      [0, 0.1].map(async (weight_decay) => {
        const { optimizer, parameters, gradients } = await setUp(name, mixed, { ...recipe, weight_decay }, together);
        for (const { name: tensor } of mixed) fill(parameters.slice(tensor), 1);
        for (const { name: tensor } of mixed) fill(gradients.slice(tensor), 2);
        await optimizer.step({ learningRate: 0.1, gradientScale: 1, step: 1 });
        await optimizer.release();
        return { bias: [...parameters.slice('bias')], weight: [...parameters.slice('weight')] };
      }),
    );
    expect(after[1]!.bias).toEqual(after[0]!.bias);
    expect(after[1]!.weight).not.toEqual(after[0]!.weight);
  });

  it.each(WAYS)('moves what has a rate of its own as it would be at that rate, %s', async (_, together) => {
    const shapes = [
      { name: 'a', shape: [6, 5], decay: true },
      { name: 'b', shape: [5, 6], decay: true },
      { name: 'c', shape: [4, 3], decay: true },
      { name: 'd', shape: [9], decay: false },
      { name: 'e', shape: [7], decay: false },
    ];
    const run = async (fast: readonly string[], learningRate: number) => {
      const specs = shapes.map((spec) => (fast.includes(spec.name) ? { ...spec, rate: 8 } : spec));
      const { optimizer, parameters, gradients } = await setUp(name, specs, recipe, together);
      for (const step of [1, 2]) {
        for (const { name: tensor } of shapes) {
          if (step === 1) fill(parameters.slice(tensor), 1);
          fill(gradients.slice(tensor), 2 + step);
        }
        await optimizer.step({ learningRate, gradientScale: 1, step });
      }
      await optimizer.release();
      return (tensor: string) => [...parameters.slice(tensor)];
    };
    const [mixed, slow, quick] = [await run(['b', 'd'], 0.01), await run([], 0.01), await run([], 0.08)];
    for (const tensor of ['a', 'c', 'e']) expect(mixed(tensor), tensor).toEqual(slow(tensor));
    for (const tensor of ['b', 'd']) expect(mixed(tensor), tensor).toEqual(quick(tensor));
    expect(mixed('b')).not.toEqual(slow('b'));
  });

  it.each(WAYS)('goes on bit for bit from its saved state, %s', async (_, together) => {
    const shapes = [
      { name: 'stack', shape: [2, 3, 4], decay: true },
      { name: 'number', shape: [], decay: false },
      { name: 'vector', shape: [17], decay: false },
    ];
    const first = await setUp(name, shapes, recipe, together);
    const second = await setUp(name, shapes, recipe, together);
    fill(first.parameters.data, 3);
    const step = async ({ optimizer, gradients }: typeof first, number: number) => {
      fill(gradients.data, 10 * number);
      await optimizer.step({ learningRate: 0.01 / number, gradientScale: 0.7, step: number });
    };
    for (const number of [1, 2, 3]) await step(first, number);
    second.parameters.data.set(first.parameters.data);
    for (const { name: part, data } of first.optimizer.state) {
      expect(data.some((value) => value !== 0)).toBe(true);
      second.optimizer.state.find((other) => other.name === part)!.data.set(data);
    }
    for (const number of [4, 5]) for (const each of [first, second]) await step(each, number);
    expect(second.parameters.data).toEqual(first.parameters.data);
    for (const each of [first, second]) await each.optimizer.release();
  });

  it('holds as much state as the estimate says', async () => {
    const layout = layoutArena(specs(true));
    for (const sgd_momentum of [0, 0.9]) {
      const { optimizer } = await setUp(name, specs(true), { sgd_momentum });
      const floats = optimizer.state.reduce((sum, { data }) => sum + data.length, 0);
      expect(optimizerStateSize(name, layout, { ...RECIPE, sgd_momentum })).toBe(floats);
      await optimizer.release();
    }
  });
});

describe('adafactor', () => {
  it('treats a stack of matrices as so many matrices that share one clipping', async () => {
    const stacked = await setUp('adafactor', [{ name: 'x', shape: [2, 3, 4], decay: false }]);
    const flat = await setUp('adafactor', [
      { name: 'a', shape: [3, 4], decay: false },
      { name: 'b', shape: [3, 4], decay: false },
    ]);
    // Both halves alike, so that their norm is that of each.
    const gradient = Float32Array.from({ length: 12 }, (_, i) => Math.cos(i));
    for (const at of [0, 12]) stacked.gradients.slice('x').set(gradient, at);
    for (const name of ['a', 'b']) flat.gradients.slice(name).set(gradient);
    for (const { optimizer } of [stacked, flat]) await optimizer.step({ learningRate: 0.1, gradientScale: 1, step: 1 });
    const halves = [...flat.parameters.slice('a'), ...flat.parameters.slice('b')];
    expect(deviation(stacked.parameters.slice('x'), halves)).toBeLessThan(1e-6);
    for (const { optimizer } of [stacked, flat]) await optimizer.release();
  });
});
