/** Reference generations anew: all prompts of a case in one batch. */
import { beamSearch } from '@runner/generate/beam';
import type { DecodeRequest } from '@runner/generate/decodeRequest';
import type { Decoder } from '@runner/generate/decoder';
import { logitsProcessors } from '@runner/generate/logits';
import { sampleTokens } from '@runner/generate/sample';
import { deviation, type ReferenceGenerations } from './fixtures';

type GenerationCase = ReferenceGenerations['cases'][number];

export interface DecodedCase {
  /** New ids, `[prompt][rank]`, best first. */
  readonly tokens: number[][][];
  /** The largest deviation of a prompt's scores; 0 where there are none, Infinity where there are not as many. */
  readonly scoreDeviation: number;
}

export async function decodeCase(
  decoder: Decoder,
  { prompts, max_new_tokens: maxNewTokens }: ReferenceGenerations,
  { options, eos_token_id: eos, results }: GenerationCase,
): Promise<DecodedCase> {
  const requests: DecodeRequest[] = prompts.map((ids) => ({
    ids: Int32Array.from(ids),
    maxNewTokens,
    random: NO_DRAWS,
  }));
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
  const numBeams = options.num_beams ?? 1;
  if (numBeams === 1) {
    const rows = await sampleTokens(decoder, requests, shared);
    return { tokens: rows.map(({ ids }) => [[...ids]]), scoreDeviation: 0 };
  }
  const rows = await beamSearch(decoder, requests, {
    ...shared,
    numBeams,
    lengthPenalty: options.length_penalty ?? 1,
    earlyStopping: options.early_stopping ?? false,
  });
  const deviations = rows.map(({ hypotheses }, prompt) => {
    const scores = hypotheses.map(({ score }) => score);
    return deviation(
      scores,
      results[prompt]!.map(({ score }) => score!),
    );
  });
  return {
    tokens: rows.map(({ hypotheses }) => hypotheses.map(({ ids }) => [...ids])),
    scoreDeviation: Math.max(...deviations),
  };
}

/** transformers' tokens of a case, `[prompt][rank]`. */
export function tokensOf({ results }: GenerationCase): number[][][] {
  return results.map((beams) => beams.map(({ tokens }) => tokens));
}

const NO_DRAWS = {
  nextFloat: (): number => {
    throw new Error('a draw where none was asked for');
  },
};
