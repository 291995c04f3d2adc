/** Texts for prompts, by one model. */
import type { GenerateResult } from '@protocol/runner';
import { openEngine } from '../engine/openEngine';
import { generate } from '../generate/generate';
import { locateModel, openForDecoding } from './openForDecoding';
import type { GenerateRequest } from './requests';

/**
 * @returns a text a prompt, in their order, each stamped with the hash of the weights that made it
 * @throws TuneyardError what `locateModel`, `openEngine`, `openForDecoding` and `generate` throw
 */
export async function generateJob(request: GenerateRequest): Promise<GenerateResult[]> {
  const { baseDir, prompts, generation, signal, onStage, onWarning } = request;
  const located = await locateModel(request.model, baseDir, signal);
  const engine = await openEngine(request.device);
  const { decoder, tokenizer, eosTokenIds, release } = await openForDecoding(located, {
    baseDir,
    engine,
    signal,
    onStage,
    onWarning,
  });
  try {
    const texts = await generate({
      decoder,
      tokenizer,
      prompts,
      options: generation,
      eosTokenIds,
      signal,
      onToken: ({ index, text }) => request.onText?.(index, text),
      onWarning: ({ message }) => onWarning?.(message),
    });
    return texts.map(({ prompt, text, weights, finishReason, seconds }) => ({
      prompt,
      text,
      weights,
      finish_reason: finishReason,
      seconds,
    }));
  } finally {
    await release();
  }
}
