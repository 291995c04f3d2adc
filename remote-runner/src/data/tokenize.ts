/**
 * From a row to token ids and labels: the one way that training, evaluation and preview all take.
 *
 * The prompt and the completion are encoded apart, so that in training the prompt has exactly the tokens it has when
 * the model is later asked to go on from it. Labels follow from what a token *is* (prompt or completion), never from
 * its id: where the padding token equals the end-of-sequence token, the real end is still learned.
 */
import { type ErrorPlace, TuneyardError } from '@protocol/errors';
import type { ChatText } from './chat/chatTemplate';
import type { PlainText } from './formats/format';
import { type ResolvedFormat, renderSample } from './formats/resolveFormat';
import type { Row } from './readers';
import { concatIds, type Tokenizer } from './tokenizer';

/** The label of a token that is not learned (as in PyTorch's and Hugging Face's losses). */
export const IGNORED = -100;

export interface Sample {
  /** [length] */
  inputIds: Int32Array;
  /** [length]; the token's own id, or −100 where it is not learned. Not shifted: labels[t] is learned from t − 1. */
  labels: Int32Array;
  /** The row's line in the file. */
  line: number;
  /** Whether the text was longer than `maxLength` and lost its end. */
  truncated: boolean;
}

export interface TokenizeOptions {
  tokenizer: Tokenizer;
  sampleFormat: ResolvedFormat;
  /** Longest sample in tokens. */
  maxLength: number;
  trainOnPrompt: boolean;
  /** Put the end-of-sequence token behind the text (where the tokenizer has one) and learn it. */
  appendEos: boolean;
  /** The dataset's file, for messages. */
  file: string;
}

/**
 * Turns a row into a sample. A text that is cut off loses the end-of-sequence token too: the model must not learn to
 * stop in the middle.
 *
 * @throws TuneyardError `dataset_invalid` for a value that is missing or no text; `no_supervised_tokens` where no
 *   token would be learned, as then the row trains on nothing
 */
export function tokenizeRow(row: Row, options: TokenizeOptions): Sample {
  const place = { file: row.file ?? options.file, line: row.line };
  return tokenizeText(renderSample(options.sampleFormat, row.values, place).text, place, options);
}

/** As {@link tokenizeRow}, of a row's text. */
export function tokenizeText(text: PlainText | ChatText, place: ErrorPlace, options: TokenizeOptions): Sample {
  const { maxLength } = options;
  const { full, learned, given } = text.kind === 'chat' ? encodeChat(text, options) : encodePlain(text, options);
  const truncated = full.length > maxLength;
  const inputIds = truncated ? full.slice(0, maxLength) : full;
  const labels = new Int32Array(inputIds.length).fill(IGNORED);
  for (const { start, end } of options.trainOnPrompt ? [{ start: 0, end: full.length }] : learned)
    labels.set(inputIds.subarray(start, end), Math.min(start, labels.length));
  const sample: Sample = { inputIds, labels, line: place.line ?? 0, truncated };
  if (supervisedTokens(sample) === 0) {
    throw new TuneyardError('no_supervised_tokens', nothingLearned(given, sample, maxLength), {
      place,
      data: { lines: [place.line ?? 0] },
    });
  }
  return sample;
}

interface Encoded {
  full: Int32Array;
  /** Tokens `[start, end)`, in order. */
  learned: { start: number; end: number }[];
  /** Tokens before the first that is learned. */
  given: number;
}

function encodePlain({ prompt, completion }: PlainText, { tokenizer, appendEos }: TokenizeOptions): Encoded {
  // With an empty prompt the completion begins the sequence; what stands before it (a BOS) is still given, not learned.
  const start = tokenizer.encodeStart(prompt);
  const rest = prompt === '' ? tokenizer.encode(completion) : tokenizer.encodeContinuation(completion);
  const eos = appendEos && tokenizer.eosTokenId !== undefined ? [tokenizer.eosTokenId] : [];
  const full = concatIds([start, rest, Int32Array.from(eos)]);
  return { full, learned: [{ start: start.length, end: full.length }], given: start.length };
}

/** As a whole: what begins and ends turns is in the text, written by the template. */
function encodeChat({ text, learned }: ChatText, { tokenizer }: TokenizeOptions): Encoded {
  const full = tokenizer.encode(text);
  const spans = learned.map(({ start, end }) => ({
    start: tokenAt(tokenizer, full, text, start),
    end: tokenAt(tokenizer, full, text, end, true),
  }));
  return { full, learned: spans, given: spans[0]?.start ?? full.length };
}

/**
 * The token that holds a character of a text; with `behind`, the first that holds none of those before it.
 *
 * @param ids of the whole text
 */
export function tokenAt(tokenizer: Tokenizer, ids: Int32Array, text: string, at: number, behind = false): number {
  if (at >= text.length) return ids.length;
  const before = tokenizer.encode(text.slice(0, at));
  let count = 0;
  while (count < before.length && before[count] === ids[count]) count++;
  // A token may hold characters on either side; it is with those that it begins with.
  return behind && count < before.length ? count + 1 : count;
}

/** How many tokens of a sample are learned: those with a label, but for the first, which nothing comes before. */
export function supervisedTokens(sample: Pick<Sample, 'labels'>): number {
  let count = 0;
  for (let t = 1; t < sample.labels.length; t++) if (sample.labels[t] !== IGNORED) count++;
  return count;
}

/** One error for all rows that train on nothing; names the first few. */
export function refuseUnsupervised(errors: readonly TuneyardError[]): TuneyardError {
  const [first] = errors;
  if (errors.length === 1) return first!;
  const lines = errors.map((error) => error.place?.line ?? 0);
  const shown = lines.slice(0, 5).join(', ');
  const others = lines.length > 5 ? ` and ${lines.length - 5} more` : '';
  return new TuneyardError(
    'no_supervised_tokens',
    `${errors.length} rows train on nothing (lines ${shown}${others}); of the first: ${first!.what}`,
    { ...(first!.place ? { place: first!.place } : {}), data: { lines } },
  );
}

function nothingLearned(promptLength: number, sample: Sample, maxLength: number): string {
  if (sample.truncated && promptLength >= maxLength) {
    return `the prompt alone has ${promptLength} tokens, so that nothing of the target is left within max_length ${maxLength}; raise max_length or take the row out.`;
  }
  if (promptLength === sample.inputIds.length && promptLength > 0)
    return 'the chat has nothing that the assistant says; fill it in or take it out.';
  if (sample.inputIds.length === 0) return 'the row has no text; fill it in or take it out.';
  return 'the row has too little text to learn from: not one token has another before it; fill it in or take it out.';
}
