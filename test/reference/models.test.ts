import { collate } from '@runner/data/collate';
import type { Sample } from '@runner/data/tokenize';
import { type TensorView, view } from '@runner/engine/engine';
import { NodeEngine } from '@runner/engine/node';
import { buildLogits, HEAD } from '@runner/heads/causalLm';
import { loadParameters, openModel } from '@runner/models/loadModel';
import { newBuilder, ops } from '@runner/ops/index';
import { Arena, layoutArena } from '@runner/train/arena';
import { BODY, buildEvaluation } from '@runner/train/bodyProgram';
import { TrainStep } from '@runner/train/trainStep';
import { describe, expect, it } from 'vitest';
import { deviation, modelDirOf, REFERENCE_MODELS, REFERENCE_VARIANTS, type ReferenceBatch, readCase } from './fixtures';

const TOLERANCE = 1e-4;

function samplesOf(batch: ReferenceBatch): Sample[] {
  return batch.input_ids.map((ids, b) => ({
    inputIds: Int32Array.from(ids.slice(0, batch.lengths[b])),
    labels: Int32Array.from(batch.labels[b]!.slice(0, batch.lengths[b])),
    line: b + 1,
    truncated: false,
  }));
}

async function open(name: Parameters<typeof modelDirOf>[0]) {
  const opened = await openModel(modelDirOf(name));
  const parameters = await loadParameters(opened);
  const gradients = new Arena(layoutArena(opened.model.parameters));
  const engine = new NodeEngine(ops);
  // Dropout is switched off by reading the model as if its shares were zero: the references are made in eval mode.
  return {
    ...opened,
    parameters,
    gradients,
    engine,
    step: new TrainStep({ engine, newBuilder, model: opened.model, parameters, gradients }),
  };
}

describe.each([...REFERENCE_MODELS, ...REFERENCE_VARIANTS])('%s', (name) => {
  it('gives the logits and the loss of transformers, or every fine-tune would start from another model', async () => {
    const reference = await readCase(name);
    const { model, parameters, engine, step } = await open(name);
    for (const [n, batch] of reference.batches.entries()) {
      const length = batch.input_ids[0]!.length;
      const packed = collate(samplesOf(batch), { length, padTokenId: 0 });
      expect(packed.rows.length).toBe(batch.supervised);
      expect((await step.evaluate(packed)) / batch.supervised).toBeCloseTo(batch.loss, 4);

      const rows = packed.batchSize * length;
      const body = await engine.compile(
        buildEvaluation(newBuilder('body'), model, { batch: packed.batchSize, length, tokens: rows }),
      );
      const hidden = view(new Float32Array(rows * model.hiddenSize), [rows, model.hiddenSize]);
      const inputs: Record<string, TensorView> = {
        [BODY.ids]: view(packed.inputIds, [rows]),
        [BODY.positions]: view(
          BigInt64Array.from({ length: rows }, (_, i) => BigInt(i % length)),
          [rows],
        ),
      };
      for (const tensor of parameters.layout.tensors) inputs[tensor.name] = parameters.view(tensor.name);
      await body.run(inputs, { [BODY.hidden]: hidden });
      const g = newBuilder('logits');
      buildLogits(g, { rows, hidden: model.hiddenSize, vocab: model.vocabSize });
      const head = await engine.compile(g.graph);
      const logits = view(new Float32Array(rows * model.vocabSize), [rows, model.vocabSize]);
      await head.run({ [HEAD.hidden]: hidden, [HEAD.weight]: parameters.view(model.headWeight) }, { logits });

      const ours = logits.data as Float32Array;
      // The fixture holds zeros where a row is padded.
      batch.attention_mask.forEach((row, b) => {
        row.forEach((real, t) => {
          if (!real) ours.fill(0, (b * length + t) * model.vocabSize, (b * length + t + 1) * model.vocabSize);
        });
      });
      expect(deviation(ours, await reference.tensors.read(`${n}.logits`))).toBeLessThan(TOLERANCE);
    }
    await step.release();
  });
});

describe.each(REFERENCE_MODELS.filter((name) => name !== 'gpt2-drop'))('%s', (name) => {
  it('gives every gradient of transformers, alone and added up, or it would learn something else', async () => {
    const reference = await readCase(name);
    const { step, gradients } = await open(name);
    const [first, second] = reference.batches
      .slice(0, 2)
      .map((batch) => collate(samplesOf(batch), { length: batch.input_ids[0]!.length, padTokenId: 0 }));
    const counts = reference.batches.map(({ supervised }) => supervised);
    const expected = async (n: number, parameter: string) => reference.tensors.read(`${n}.grad.${parameter}`);

    await step.accumulate(first!, { weight: 1 / counts[0]!, first: true, seed: 1n });
    for (const { name: parameter } of gradients.layout.tensors) {
      expect([parameter, deviation(gradients.slice(parameter), await expected(0, parameter))]).toSatisfy(
        ([, d]) => d < TOLERANCE,
      );
    }
    await step.accumulate(second!, { weight: 1 / counts[1]!, first: false, seed: 1n });
    for (const { name: parameter } of gradients.layout.tensors) {
      const [a, b] = [await expected(0, parameter), await expected(1, parameter)];
      expect([
        parameter,
        deviation(
          gradients.slice(parameter),
          a.map((x, i) => x + b[i]!),
        ),
      ]).toSatisfy(([, d]) => d < TOLERANCE);
    }
    await step.release();
  });
});
