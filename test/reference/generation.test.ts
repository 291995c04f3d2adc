import { NativeEngine } from '@runner/engine/native';
import { createDecoder } from '@runner/generate/kvCache';
import { loadParameters, openModel } from '@runner/models/loadModel';
import { newBuilder, ops } from '@runner/ops/index';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { decodeCase, tokensOf } from './decodeCase';
import { deviation, GENERATION_MODELS, modelDirOf, REFERENCE_MODELS, readCase, readGenerations } from './fixtures';

const engine = new NativeEngine(ops);

async function open(name: (typeof REFERENCE_MODELS)[number]) {
  const opened = await openModel(modelDirOf(name));
  return createDecoder({ engine, newBuilder, model: opened.model, parameters: await loadParameters(opened) });
}

describe.each(REFERENCE_MODELS)('%s, decoded with a cache', (name) => {
  it('scores each next token as transformers does, for prompts of unlike lengths that go on one token at a time', async () => {
    const { batches, tensors } = await readCase(name);
    const decoder = await open(name);
    for (const [n, { input_ids: ids, lengths }] of batches.entries()) {
      const logits = await tensors.read(`${n}.logits`);
      const width = ids[0]!.length;
      const at = (row: number, t: number) =>
        logits.subarray((row * width + t) * decoder.vocabSize, (row * width + t + 1) * decoder.vocabSize);
      // Each row begins with another part of its text; all then go on until the longest is at its end.
      const starts = lengths.map((length, row) => 1 + ((row * 3) % Math.ceil(length / 2)));
      const state = await decoder.prefill(
        starts.map((start, row) => Int32Array.from(ids[row]!.slice(0, start))),
        1,
        decoder.maxLength,
      );
      for (let step = 0; ; step++) {
        const open = [...starts.keys()].filter((row) => starts[row]! + step <= lengths[row]!);
        for (const row of open) {
          const ours = state.logits.subarray(row * decoder.vocabSize, (row + 1) * decoder.vocabSize);
          expect(deviation(ours, at(row, starts[row]! + step - 1))).toBeLessThan(1e-5);
        }
        if (open.length === 0) break;
        await state.step(Int32Array.from(starts, (start, row) => ids[row]![start + step] ?? 0));
      }
      state.release();
    }
    await decoder.release();
  });
});

describe.each(GENERATION_MODELS)('%s', (name) => {
  const reference = readGenerations(name);
  let decoder: Awaited<ReturnType<typeof open>>;
  beforeAll(async () => {
    decoder = await open(name);
  });
  afterAll(() => decoder.release());

  it.each(
    reference.cases.map((entry) => [`${JSON.stringify(entry.options)} eos ${entry.eos_token_id}`, entry] as const),
  )('writes transformers’ tokens for three prompts in one batch: %s', async (_name, entry) => {
    const { tokens, scoreDeviation } = await decodeCase(decoder, reference, entry);
    expect(tokens).toEqual(tokensOf(entry));
    expect(scoreDeviation).toBeLessThan(1e-5);
  });
});
