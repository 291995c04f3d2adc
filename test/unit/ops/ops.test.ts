/**
 * Every op's examples, run on ONNX Runtime: the shape rule gives the shapes that the runtime gives, values are as stated,
 * and the gradient rule agrees with the slope that is measured in a random direction.
 */
import { vjp } from '@runner/autodiff/grad';
import { Random } from '@runner/data/random';
import { elementCount, isFloat, type Value } from '@runner/graph/ir';
import { ops } from '@runner/ops';
import type { Example, OpDef } from '@runner/ops/op';
import { standsFor } from '@runner/ops/standsFor';
import { describe, expect, it } from 'vitest';
import { type Data, evaluate, exampleGraph, numbers, Runner, typed, uniform } from './support';

/** Step of the central differences, in units of the inputs; float32 results carry some 1e-7 of rounding. */
const STEP = 0.02;
/** Allowed error, relative to the sum of the absolute terms of the slope. */
const TOLERANCE = 3e-4;

for (const op of ops.values()) {
  describe(op.name, () => {
    it('has examples, and one that checks its gradient where it has one', () => {
      expect(op.examples.length).toBeGreaterThan(0);
      if (op === standsFor) {
        // Its value does not depend on the input that has its gradient: there is no slope to measure.
        expect(op.gradient.kind).toBe('differentiable');
      } else if (op.gradient.kind === 'differentiable') {
        expect(op.examples.some((example) => checkedInputs(op, example).length > 0)).toBe(true);
      } else {
        expect(op.gradient.why).not.toBe('');
      }
    });

    for (const [index, example] of op.examples.entries()) {
      it(`gives the runtime's shapes and the stated values: ${example.name}`, async () => {
        const { builder, node, data } = exampleGraph(op, example, new Random(index, 1));
        node.outputs.forEach((output, i) => {
          builder.output(`y${i}`, output);
        });
        const results = await evaluate(builder, feeds(data));
        node.outputs.forEach((output, i) => {
          const result = results[`y${i}`]!;
          expect(output.shape).toEqual(example.shapes[i]);
          expect(result.shape).toEqual(example.shapes[i]);
          expect(result.dtype).toBe(output.dtype);
        });
        expect(node.outputs).toHaveLength(example.shapes.length);
        if (example.expect) expectClose(numbers(results.y0!), example.expect);

        const folded = op.fold?.(
          data.filter((x) => x !== null),
          node,
        );
        folded?.forEach((values, i) => {
          expectClose(numbers({ data: values }), numbers(results[`y${i}`]!));
        });
      });

      if (op.gradient.kind !== 'differentiable' || checkedInputs(op, example).length === 0) continue;
      it(`has the gradient that is measured: ${example.name}`, async () => {
        await checkGradient(op, example, new Random(index, 2));
      });
    }
  });
}

function checkedInputs(op: OpDef, example: Example): number[] {
  if (op.gradient.kind !== 'differentiable') return [];
  if (example.check) return [...example.check];
  return example.inputs.flatMap((input, i) =>
    input && !input.constant && isFloat(input.dtype ?? 'float32') ? [i] : [],
  );
}

function feeds(data: readonly (Data | null)[]): Record<string, Data> {
  return Object.fromEntries(data.flatMap((x, i) => (x ? [[`x${i}`, x]] : [])));
}

function expectClose(actual: readonly number[], expected: readonly number[]): void {
  expect(actual).toHaveLength(expected.length);
  actual.forEach((value, i) => {
    expect(Math.abs(value - expected[i]!), `element ${i}: ${value}, not ${expected[i]}`).toBeLessThanOrEqual(
      2e-6 * Math.max(1, Math.abs(expected[i]!)),
    );
  });
}

/**
 * Compares ⟨gradient, direction⟩ with the slope of ⟨outputs, cotangents⟩ along a random direction, by differences that
 * are exact to fourth order: (8 (f(h) − f(−h)) − (f(2h) − f(−2h))) / 12h.
 */
async function checkGradient(op: OpDef, example: Example, random: Random): Promise<void> {
  const { builder, node, inputs, data } = exampleGraph(op, example, random);
  const checked = checkedInputs(op, example);
  const weighed = (example.cotangents ?? node.outputs.map((_, i) => i)).filter((i) => isFloat(node.outputs[i]!.dtype));
  const wrt = checked.map((i) => inputs[i]!);
  const cotangents = weighed.map((i) => uniform(random, elementCount(node.outputs[i]!.shape), [-1, 1]));
  const { gradients } = vjp(
    builder,
    weighed.map((i) => node.outputs[i]!),
    weighed.map((i, at) => {
      const { dtype, shape } = node.outputs[i]!;
      return builder.constant(typed(dtype, cotangents[at]!), dtype, shape);
    }),
    wrt,
  );
  weighed.forEach((i) => {
    builder.output(`y${i}`, node.outputs[i]!);
  });
  gradients.forEach((gradient, at) => {
    expect(gradient?.shape, `the gradient of input ${checked[at]}`).toEqual(wrt[at]!.shape);
    builder.output(`g${at}`, gradient as Value);
  });

  const runner = await Runner.load(builder);
  try {
    const outputNames = weighed.map((i) => `y${i}`);
    const directions = wrt.map(({ shape }) => uniform(random, elementCount(shape), [-1, 1]));
    const along = async (step: number): Promise<number> => {
      const moved = [...data];
      checked.forEach((i, at) => {
        moved[i] = Float32Array.from(data[i] as Float32Array, (x, j) => x + step * directions[at]![j]!);
      });
      const results = await runner.run(feeds(moved), outputNames);
      let sum = 0;
      outputNames.forEach((name, at) => {
        numbers(results[name]!).forEach((y, j) => {
          sum += y * cotangents[at]![j]!;
        });
      });
      return sum;
    };
    const results = await runner.run(feeds(data));
    let slope = 0;
    let size = 0;
    gradients.forEach((_, at) => {
      numbers(results[`g${at}`]!).forEach((value, j) => {
        slope += value * directions[at]![j]!;
        size += Math.abs(value * directions[at]![j]!);
      });
    });
    const near = (await along(STEP)) - (await along(-STEP));
    const far = (await along(2 * STEP)) - (await along(-2 * STEP));
    const measured = (8 * near - far) / (12 * STEP);
    expect(Math.abs(slope - measured), `rule ${slope}, measured ${measured}`).toBeLessThanOrEqual(
      TOLERANCE * (size + 0.1),
    );
  } finally {
    await runner.release();
  }
}
