import { Random } from '@runner/data/random';
import { type BeamOptions, beamSearch } from '@runner/generate/beam';
import { logitsProcessors } from '@runner/generate/logits';
import { describe, expect, it } from 'vitest';
import { generationOptions, TinyRnn, tinyRnnFixture } from './tinyRnn';

const { prompts, cases, eos } = tinyRnnFixture;
const requestsOf = (ids: number[][], maxNewTokens: number) =>
  ids.map((prompt, i) => ({ ids: Int32Array.from(prompt), maxNewTokens, random: new Random(1, i) }));
const plain: BeamOptions = {
  numBeams: 3,
  lengthPenalty: 1,
  earlyStopping: false,
  doSample: false,
  processors: [],
  eosTokenIds: [eos],
};

/** Σ log p of the new tokens, computed without any cache. */
function logProbability(model: TinyRnn, prompt: number[], newTokens: Int32Array): number {
  let sum = 0;
  for (const [i, token] of newTokens.entries()) {
    const logits = model.logitsAfter([...prompt, ...newTokens.subarray(0, i)]);
    const total = logits.reduce((s, x) => s + Math.exp(x), 0);
    sum += logits[token]! - Math.log(total);
  }
  return sum;
}

describe('beamSearch', () => {
  for (const { options, generated } of cases.filter((c) => c.options.num_beams)) {
    it(`writes token for token what transformers writes with ${JSON.stringify(options)}`, async () => {
      const { eos_token_id: eosTokenIds = [eos], ...rest } = options;
      const recipe = generationOptions(rest);
      const beamOptions = {
        ...plain,
        numBeams: recipe.num_beams,
        lengthPenalty: recipe.length_penalty,
        earlyStopping: recipe.early_stopping,
        processors: logitsProcessors(recipe),
        eosTokenIds,
      };
      // All prompts in one batch, though the reference was made prompt by prompt.
      const rows = await beamSearch(new TinyRnn(), requestsOf(prompts, recipe.max_new_tokens), beamOptions);
      expect(rows.map(({ ids }) => [...ids])).toEqual(generated);
      for (const { ids, finishReason, hypotheses } of rows) {
        expect([...hypotheses[0]!.ids]).toEqual([...ids]);
        expect(hypotheses.map(({ score }) => score)).toEqual(
          hypotheses.map(({ score }) => score).sort((a, b) => b - a),
        );
        expect(finishReason).toBe(eosTokenIds.includes(ids[ids.length - 1]!) ? 'eos' : 'length');
      }
    });
  }

  it('goes on right where one prompt used up its positions long before the others', async () => {
    const model = new TinyRnn({ maxLength: 30 });
    const long = Array.from({ length: 28 }, (_, i) => (i * 7) % 31);
    const requests = [...requestsOf([long], 2), ...requestsOf([prompts[2]!, prompts[3]!], 16)];
    const rows = await beamSearch(model, requests, { ...plain, eosTokenIds: [] });
    expect(rows[0]!.ids.length).toBe(2);
    for (const [i, request] of requests.entries()) {
      const [alone] = await beamSearch(new TinyRnn(), [request], { ...plain, eosTokenIds: [] });
      expect([...rows[i]!.ids]).toEqual([...alone!.ids]);
    }
  });

  it('finds the likeliest text where the beams are wide enough to try them all', async () => {
    const model = new TinyRnn();
    const [row] = await beamSearch(model, requestsOf([[9, 1]], 2), { ...plain, numBeams: 31, eosTokenIds: [] });
    let best = Number.NEGATIVE_INFINITY;
    for (let a = 0; a < 31; a++) {
      for (let b = 0; b < 31; b++) best = Math.max(best, logProbability(model, [9, 1], Int32Array.of(a, b)));
    }
    expect(logProbability(model, [9, 1], row!.ids)).toBeCloseTo(best, 5);
  });

  it('scores a hypothesis by its log-probability over its length', async () => {
    const model = new TinyRnn();
    const rows = await beamSearch(model, requestsOf(prompts, 16), { ...plain, lengthPenalty: 0.7 });
    for (const [i, { hypotheses }] of rows.entries()) {
      for (const { ids, score } of hypotheses) {
        expect(score).toBeCloseTo(logProbability(model, prompts[i]!, ids) / ids.length ** 0.7, 4);
      }
    }
  });

  it('ends a hypothesis at a stop string', async () => {
    const isStopped = (_: number, tokens: Int32Array) => tokens.length === 3;
    const rows = await beamSearch(new TinyRnn(), requestsOf(prompts, 16), { ...plain, eosTokenIds: [], isStopped });
    for (const { ids, finishReason } of rows) expect([ids.length, finishReason]).toEqual([3, 'stop']);
  });

  it('draws other beams with another seed, the same with the same', async () => {
    const draw = async (seed: number) => {
      const requests = requestsOf(prompts, 12).map((r, i) => ({ ...r, random: new Random(seed, i) }));
      return (await beamSearch(new TinyRnn(), requests, { ...plain, doSample: true })).map(({ ids }) => [...ids]);
    };
    expect(await draw(1)).toEqual(await draw(1));
    expect(await draw(1)).not.toEqual(await draw(2));
  });

  it('says that nothing is allowed any more instead of inventing tokens', async () => {
    const forbidAll = (_: Int32Array, scores: Float32Array) => void scores.fill(Number.NEGATIVE_INFINITY);
    const [row] = await beamSearch(new TinyRnn(), requestsOf([[1]], 4), { ...plain, processors: [forbidAll] });
    expect([row!.ids.length, row!.finishReason]).toEqual([0, 'exhausted']);
  });
});
