import { beamSearch } from '@runner/generate/beam';
import type { DecodeRequest } from '@runner/generate/decodeRequest';
import { logitsProcessors } from '@runner/generate/logits';
import { sampleTokens } from '@runner/generate/sample';
import { describe, expect, it } from 'vitest';
import { deviation, GENERATION_MODELS, modelDirOf, readCase, readGenerations } from './fixtures';
import { PlainGpt } from './plainGpt';

const noDraws = {
  nextFloat: (): number => {
    throw new Error('a draw where none was asked for');
  },
};

describe.each(GENERATION_MODELS)('%s', (name) => {
  it('the plain model these searches run on is the reference model', async () => {
    const { batches, tensors } = await readCase(name);
    const model = await PlainGpt.open(modelDirOf(name));
    const logits = await tensors.read('0.logits');
    const width = batches[0]!.input_ids[0]!.length;
    for (const [row, length] of batches[0]!.lengths.entries()) {
      const prompt = Int32Array.from(batches[0]!.input_ids[row]!.slice(0, length));
      const last = (row * width + length - 1) * model.vocabSize;
      const state = await model.prefill([prompt], 1);
      expect(deviation(state.logits, logits.subarray(last, last + model.vocabSize))).toBeLessThan(1e-5);
    }
  });

  const { cases, prompts, max_new_tokens: maxNewTokens } = readGenerations(name);
  const requests: DecodeRequest[] = prompts.map((ids) => ({
    ids: Int32Array.from(ids),
    maxNewTokens,
    random: noDraws,
  }));

  it.each(cases.map((entry) => [`${JSON.stringify(entry.options)} eos ${entry.eos_token_id}`, entry] as const))(
    'a batch of prompts gives transformers’ tokens: %s',
    async (_name, { options, eos_token_id: eos, results }) => {
      const model = await PlainGpt.open(modelDirOf(name));
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
        const rows = await sampleTokens(model, requests, shared);
        expect(rows.map(({ ids }) => [...ids])).toEqual(results.map(([only]) => only!.tokens));
        return;
      }
      const rows = await beamSearch(model, requests, {
        ...shared,
        numBeams,
        lengthPenalty: options.length_penalty ?? 1,
        earlyStopping: options.early_stopping ?? false,
      });
      expect(rows.map(({ hypotheses }) => hypotheses.map(({ ids }) => [...ids]))).toEqual(
        results.map((beams) => beams.map(({ tokens }) => tokens)),
      );
      for (const [index, { hypotheses }] of rows.entries()) {
        const reference = results[index]!.map(({ score }) => score!);
        expect(
          deviation(
            hypotheses.map(({ score }) => score),
            reference,
          ),
        ).toBeLessThan(1e-5);
      }
    },
  );
});
