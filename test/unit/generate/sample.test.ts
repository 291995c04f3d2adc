import { Random } from '@runner/data/random';
import { logitsProcessors } from '@runner/generate/logits';
import { drawToken, likeliestToken, type SampleOptions, sampleTokens } from '@runner/generate/sample';
import { describe, expect, it } from 'vitest';
import { generationOptions, TinyRnn, tinyRnnFixture } from './tinyRnn';

const { prompts, cases, eos } = tinyRnnFixture;
const requestsOf = (ids: number[][], maxNewTokens: number) =>
  ids.map((prompt, i) => ({ ids: Int32Array.from(prompt), maxNewTokens, random: new Random(1, i) }));
const greedy: SampleOptions = { doSample: false, processors: [], eosTokenIds: [eos] };

describe('sampleTokens', () => {
  for (const { options, generated } of cases.filter((c) => !c.options.num_beams)) {
    it(`writes token for token what transformers writes with ${JSON.stringify(options)}`, async () => {
      const recipe = generationOptions(options);
      const rows = await sampleTokens(new TinyRnn(), requestsOf(prompts, recipe.max_new_tokens), {
        ...greedy,
        processors: logitsProcessors(recipe),
      });
      for (const [i, { ids, finishReason }] of rows.entries()) {
        // Where every token is forbidden transformers writes token 0 on and on; here the text ends.
        const reference = finishReason === 'exhausted' ? generated[i]!.slice(0, ids.length) : generated[i]!;
        expect([...ids]).toEqual(reference);
        if (finishReason !== 'exhausted') expect(finishReason).toBe(ids[ids.length - 1] === eos ? 'eos' : 'length');
      }
    });
  }

  it('ends a text where every token would repeat one, instead of repeating', async () => {
    const [row] = await sampleTokens(new TinyRnn(), requestsOf([[3]], 40), {
      doSample: false,
      processors: logitsProcessors(generationOptions({ no_repeat_ngram_size: 1 })),
      eosTokenIds: [],
    });
    expect(row!.finishReason).toBe('exhausted');
    expect(new Set([3, ...row!.ids]).size).toBe(31);
  });

  it('goes on right where one prompt used up its positions long before the others', async () => {
    const model = new TinyRnn({ maxLength: 30 });
    const long = Array.from({ length: 28 }, (_, i) => (i * 7) % 31);
    const requests = [...requestsOf([long], 2), ...requestsOf([prompts[2]!, prompts[3]!], 20)];
    const rows = await sampleTokens(model, requests, { ...greedy, eosTokenIds: [] });
    for (const [i, { ids, maxNewTokens }] of requests.entries()) {
      const history = [...ids];
      for (let k = 0; k < maxNewTokens; k++) history.push(likeliestToken(model.logitsAfter(history))!);
      expect([...rows[i]!.ids]).toEqual(history.slice(ids.length));
    }
  });

  it('stops computing when the last text is finished', async () => {
    const model = new TinyRnn();
    const rows = await sampleTokens(model, requestsOf(prompts, 20), { ...greedy, onToken: () => true });
    expect(rows.every(({ finishReason }) => finishReason === 'stop' || finishReason === 'eos')).toBe(true);
    expect(model.steps).toBe(0);
  });

  it('gives the cache back also when it is cancelled in the middle', async () => {
    const model = new TinyRnn();
    const abort = new AbortController();
    let tokens = 0;
    const onToken = () => {
      if (++tokens === 5) abort.abort();
      return false;
    };
    const running = sampleTokens(model, requestsOf([[3]], 40), {
      ...greedy,
      eosTokenIds: [],
      signal: abort.signal,
      onToken,
    });
    await expect(running).rejects.toMatchObject({ code: 'cancelled' });
    expect([tokens, model.open]).toEqual([5, 0]);
  });
});

describe('drawToken', () => {
  it('draws each token as often as its probability says', () => {
    const scores = Float32Array.of(1, Number.NEGATIVE_INFINITY, 0, -1, 2, -30);
    const total = scores.reduce((sum, x) => sum + Math.exp(x), 0);
    const counts = new Float64Array(scores.length);
    const random = new Random(3, 0);
    const draws = 40_000;
    for (let i = 0; i < draws; i++) {
      const token = drawToken(scores, random)!;
      counts[token] = counts[token]! + 1;
    }
    for (const [token, score] of scores.entries()) {
      const p = Math.exp(score) / total;
      const deviation = Math.abs(counts[token]! - draws * p);
      expect(deviation).toBeLessThanOrEqual(4 * Math.sqrt(draws * p * (1 - p)) + 1e-6 * draws);
    }
  });

  it('never draws a forbidden token at either end of the interval', () => {
    const scores = Float32Array.of(Number.NEGATIVE_INFINITY, 0, 0, Number.NEGATIVE_INFINITY);
    expect(drawToken(scores, { nextFloat: () => 0 })).toBe(1);
    expect(drawToken(scores, { nextFloat: () => 1 - 2 ** -53 })).toBe(2);
  });

  it('refuses scores of broken weights instead of writing nonsense', () => {
    for (const broken of [Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(() => likeliestToken(Float32Array.of(1, broken, 2))).toThrow(/not finite/);
      expect(() => drawToken(Float32Array.of(1, broken, 2), new Random(1))).toThrow(/not finite/);
    }
  });
});
