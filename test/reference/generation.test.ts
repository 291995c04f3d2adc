import { NodeEngine } from '@runner/engine/node';
import { beamSearch } from '@runner/generate/beam';
import type { DecodeRequest } from '@runner/generate/decodeRequest';
import { createDecoder } from '@runner/generate/kvCache';
import { logitsProcessors } from '@runner/generate/logits';
import { sampleTokens } from '@runner/generate/sample';
import { loadParameters, openModel } from '@runner/models/loadModel';
import { newBuilder, ops } from '@runner/ops/index';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { deviation, GENERATION_MODELS, modelDirOf, REFERENCE_MODELS, readCase, readGenerations } from './fixtures';

const engine = new NodeEngine(ops);

async function open(name: (typeof REFERENCE_MODELS)[number]) {
  const opened = await openModel(modelDirOf(name));
  return createDecoder({ engine, newBuilder, model: opened.model, parameters: await loadParameters(opened) });
}

const noDraws = {
  nextFloat: (): number => {
    throw new Error('a draw where none was asked for');
  },
};

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
  const { cases, prompts, max_new_tokens: maxNewTokens } = readGenerations(name);
  const requests: DecodeRequest[] = prompts.map((ids) => ({
    ids: Int32Array.from(ids),
    maxNewTokens,
    random: noDraws,
  }));
  let decoder: Awaited<ReturnType<typeof open>>;
  beforeAll(async () => {
    decoder = await open(name);
  });
  afterAll(() => decoder.release());

  it.each(cases.map((entry) => [`${JSON.stringify(entry.options)} eos ${entry.eos_token_id}`, entry] as const))(
    'writes transformers’ tokens for three prompts in one batch: %s',
    async (_name, { options, eos_token_id: eos, results }) => {
      const numBeams = options.num_beams ?? 1;
      const shared = {
        doSample: false,
        eosTokenIds: eos === null ? [] : [eos],
        processors: logitsProcessors({
          do_sample: false,
          temperature: 1,
          top_k: 0,
          top_p: 1,
          repetition_penalty: options.repetition_penalty ?? 1,
          no_repeat_ngram_size: options.no_repeat_ngram_size ?? 0,
        }),
      };
      if (numBeams === 1) {
        const rows = await sampleTokens(decoder, requests, shared);
        expect(rows.map(({ ids }) => [...ids])).toEqual(results.map(([only]) => only!.tokens));
        return;
      }
      const rows = await beamSearch(decoder, requests, {
        ...shared,
        numBeams,
        lengthPenalty: options.length_penalty ?? 1,
        earlyStopping: options.early_stopping ?? false,
      });
      expect(rows.map(({ hypotheses }) => hypotheses.map(({ ids }) => [...ids]))).toEqual(
        results.map((beams) => beams.map(({ tokens }) => tokens)),
      );
      for (const [index, { hypotheses }] of rows.entries()) {
        const scores = hypotheses.map(({ score }) => score);
        expect(
          deviation(
            scores,
            results[index]!.map(({ score }) => score!),
          ),
        ).toBeLessThan(1e-5);
      }
    },
  );
});
