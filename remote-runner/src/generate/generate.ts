/** Text generation: prompts in, texts out; greedy, sampled or by beam search as the recipe's `generation` says. */
import { TuneyardError } from '@protocol/errors';
import type { GenerationRecipe } from '@protocol/recipe';
import { Random } from '../data/random';
import type { Tokenizer } from '../data/tokenizer';
import { beamSearch } from './beam';
import type { DecodedRow, DecodeRequest, FinishReason } from './decodeRequest';
import type { Decoder } from './decoder';
import { logitsProcessors } from './logits';
import { promptStreams } from './promptStreams';
import { sampleTokens } from './sample';
import { TextStream, type TokenDecoder } from './textStream';

/** What generation needs of a tokenizer. */
export type GenerationTokenizer = TokenDecoder & Pick<Tokenizer, 'encodeStart' | 'eosTokenId' | 'bosTokenId'>;

export type GenerationOptions = Omit<GenerationRecipe, 'prompts'>;

export interface GenerateInput {
  decoder: Decoder;
  tokenizer: GenerationTokenizer;
  /** Texts, or token ids. An empty one stands for the beginning-of-sequence token. */
  prompts: readonly (string | Int32Array)[];
  options: GenerationOptions;
  /** Tokens that end a text; {@link eosTokens} finds them. Default: the tokenizer's. */
  eosTokenIds?: readonly number[];
  signal?: AbortSignal | undefined;
  /** New text as soon as it is certain. A prompt's pieces, joined, are its text. With beams there is one, at the end. */
  onToken?: (piece: GeneratedPiece) => void;
  onWarning?: (warning: GenerationWarning) => void;
  /** Rows (prompts × beams) computed at a time; more prompts go in turns. Default 32. */
  maxRows?: number;
}

export interface GeneratedPiece {
  /** Which prompt, from 0. */
  index: number;
  text: string;
}

export interface GenerationWarning {
  code: 'positions_used_up';
  message: string;
}

export interface Generated {
  prompt: string;
  /** What the model wrote behind the prompt: no special tokens, cut before a stop string. */
  text: string;
  /** The new tokens as the model wrote them, end-of-sequence token or stop string included. */
  ids: Int32Array;
  finishReason: FinishReason;
  /** Wall time until this text was finished; prompts of a batch are computed together. */
  seconds: number;
  /** Hash of the weights that made the text. */
  weights: string;
}

/**
 * Finds out before long work whether {@link generate} would take these prompts.
 *
 * @throws TuneyardError as `generate` does for a prompt
 */
export function checkPrompts(input: {
  tokenizer: GenerationTokenizer;
  prompts: readonly string[];
  /** The model's. */
  vocabSize: number;
  maxPositions: number;
  options: GenerationOptions;
}): void {
  const { tokenizer, options, vocabSize, maxPositions: maxLength } = input;
  for (const [index, prompt] of input.prompts.entries()) {
    const limits = { decoder: { vocabSize, maxLength }, tokenizer, options };
    newTokenLimit(promptTokens(prompt, index, limits), index, limits);
  }
}

/**
 * Generates a text for each prompt. With the same seed a prompt gets the same text, whatever else is in the batch.
 *
 * @returns a text a prompt, in their order
 * @throws TuneyardError `usage` for a prompt that leaves no room in the model's positions or that is empty where the
 *   tokenizer has no token to begin with, `vocabulary_too_small`, `cancelled`, `not_finite`
 */
export async function generate(input: GenerateInput): Promise<Generated[]> {
  const { decoder, tokenizer, options } = input;
  const prompts = input.prompts.map((prompt, index) => promptTokens(prompt, index, input));
  const streams = promptStreams(prompts);
  const requests = prompts.map((ids, index) => ({
    ids,
    maxNewTokens: newTokenLimit(ids, index, input),
    random: new Random(options.seed, streams[index]!),
  }));

  const generated: Generated[] = [];
  const promptsAtATime = Math.max(1, Math.floor((input.maxRows ?? 32) / options.num_beams));
  while (generated.length < requests.length) {
    const first = generated.length;
    const batch = requests.slice(first, first + promptsAtATime);
    const { weights } = decoder;
    const texts = batch.map(({ ids }) => new TextStream(tokenizer, ids, options.stop_strings));
    const rows = await decodeBatch(input, batch, texts, first);
    if (decoder.weights !== weights) {
      throw new TuneyardError(
        'internal',
        'The weights changed while texts were generated, so it is not known which weights made them; generate between two training steps.',
      );
    }
    for (const [i, { ids, finishReason, seconds }] of rows.entries()) {
      const given = input.prompts[first + i]!;
      const prompt = typeof given === 'string' ? given : tokenizer.decode(given, { skipSpecialTokens: false });
      generated.push({ prompt, text: texts[i]!.text, ids, finishReason, seconds, weights });
    }
  }
  return generated;
}

async function decodeBatch(
  input: GenerateInput,
  batch: readonly DecodeRequest[],
  texts: readonly TextStream[],
  first: number,
): Promise<DecodedRow[]> {
  const { decoder, tokenizer, options, signal } = input;
  const eosTokenIds = input.eosTokenIds ?? (tokenizer.eosTokenId === undefined ? [] : [tokenizer.eosTokenId]);
  const report = (index: number, text: string) => {
    if (text !== '') input.onToken?.({ index: first + index, text });
  };
  if (options.num_beams === 1) {
    return sampleTokens(decoder, batch, {
      doSample: options.do_sample,
      processors: logitsProcessors(options),
      eosTokenIds,
      signal,
      onToken: (index, token) => {
        report(index, texts[index]!.push(token));
        return texts[index]!.stopped;
      },
      onFinish: (index) => report(index, texts[index]!.finish()),
    });
  }

  const read = (stream: TextStream, tokens: Int32Array) => {
    let text = '';
    for (const token of tokens) if (!eosTokenIds.includes(token)) text += stream.push(token);
    return text;
  };
  const rows = await beamSearch(decoder, batch, {
    numBeams: options.num_beams,
    lengthPenalty: options.length_penalty,
    earlyStopping: options.early_stopping,
    doSample: options.do_sample,
    processors: logitsProcessors(options, 1 + eosTokenIds.length),
    eosTokenIds,
    signal,
    ...(options.stop_strings.length > 0 && {
      isStopped: (index, tokens) => {
        const stream = new TextStream(tokenizer, batch[index]!.ids, options.stop_strings);
        read(stream, tokens);
        return stream.stopped;
      },
    }),
  });
  for (const [index, row] of rows.entries()) {
    const stream = texts[index]!;
    report(index, read(stream, row.ids) + stream.finish());
  }
  return rows;
}

/** What a prompt is held to. */
type PromptLimits = Pick<GenerateInput, 'tokenizer' | 'options' | 'onWarning'> & {
  decoder: Pick<Decoder, 'vocabSize' | 'maxLength'>;
};

function promptTokens(prompt: string | Int32Array, index: number, { decoder, tokenizer }: PromptLimits): Int32Array {
  const ids = typeof prompt === 'string' ? tokenizer.encodeStart(prompt) : prompt;
  if (ids.length === 0) {
    const start = tokenizer.bosTokenId ?? tokenizer.eosTokenId;
    if (start === undefined) {
      throw new TuneyardError(
        'usage',
        `Prompt ${index + 1} is empty and the tokenizer has no token to begin a text with; give it at least one character.`,
      );
    }
    return Int32Array.of(start);
  }
  const unknown = ids.find((id) => id < 0 || id >= decoder.vocabSize);
  if (unknown !== undefined) {
    throw new TuneyardError(
      'vocabulary_too_small',
      `Prompt ${index + 1} holds token ${unknown}, but the model knows only ${decoder.vocabSize} tokens; use the tokenizer that belongs to the model.`,
    );
  }
  return ids;
}

function newTokenLimit(ids: Int32Array, index: number, { decoder, options, onWarning }: PromptLimits): number {
  const room = decoder.maxLength - ids.length;
  if (room < 1) {
    throw new TuneyardError(
      'usage',
      `Prompt ${index + 1} has ${ids.length} tokens and the model has ${decoder.maxLength} positions, which leaves no room for an answer; shorten the prompt.`,
    );
  }
  if (room < options.max_new_tokens) {
    onWarning?.({
      code: 'positions_used_up',
      message: `Prompt ${index + 1} has ${ids.length} tokens: of the model’s ${decoder.maxLength} positions that leaves room for ${room} new tokens, not for max_new_tokens = ${options.max_new_tokens}.`,
    });
  }
  return Math.min(room, options.max_new_tokens);
}
