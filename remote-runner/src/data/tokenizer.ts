/** A model's tokenizer: Hugging Face's `tokenizer.json`, read by `@huggingface/tokenizers`. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Tokenizer as HfTokenizer } from '@huggingface/tokenizers';
import { TuneyardError } from '@protocol/errors';
import { z } from 'zod';
import { type ChatTemplate, readChatTemplate } from './chat/chatTemplate';
import { type Cutter, chooseCutter } from './longText';
import { wordCutter } from './wordCutter';

export interface Tokenizer {
  /** Highest id + 1: a model needs at least so many embeddings. */
  readonly vocabSize: number;
  readonly eosTokenId?: number;
  readonly padTokenId?: number;
  readonly bosTokenId?: number;
  /** How it writes chats; undefined where it does not say. */
  readonly chatTemplate?: ChatTemplate;
  /** Ids of a text and nothing else: what the post-processor would add (a BOS, say) is left out. */
  encode(text: string): Int32Array;
  /** Ids of a text that begins a sequence: with the BOS in front where this tokenizer's post-processor puts one. */
  encodeStart(text: string): Int32Array;
  /**
   * Ids of a text that goes on behind another. They differ from `encode` for tokenizers that put a space before
   * each text (Llama 2): in the middle of a sequence it would be one too many.
   */
  encodeContinuation(text: string): Int32Array;
  /** The text of some ids, exactly as written: no "clean-up" of spaces before punctuation. */
  decode(ids: ArrayLike<number>, options?: { skipSpecialTokens?: boolean }): string;
  /** One token as a person reads it; bytes that are no whole character show as "�". */
  tokenText(id: number): string;
}

/** What is read of a tokenizer.json here; the library reads the rest. */
interface TokenizerFile {
  model: { type?: string; vocab: Record<string, number> | [string, number][] };
  added_tokens: { id: number; content: string }[];
  normalizer: unknown;
  pre_tokenizer: unknown;
  post_processor: unknown;
  decoder: unknown;
}

const tokenizerFileSchema = z.looseObject({
  model: z.looseObject({
    type: z.string().optional(),
    vocab: z.union([z.record(z.string(), z.number()), z.array(z.tuple([z.string(), z.number()]))]),
  }),
  added_tokens: z
    .array(z.looseObject({ id: z.number(), content: z.string() }))
    .nullish()
    .transform((tokens) => tokens ?? []),
  normalizer: z.unknown().transform((value) => value ?? null),
  pre_tokenizer: z.unknown().transform((value) => value ?? null),
  post_processor: z.unknown().transform((value) => value ?? null),
  decoder: z.unknown().transform((value) => value ?? null),
});

/** "</s>" or {"content": "</s>", …}: both spellings are in use. */
const tokenNameSchema = z
  .union([z.string(), z.looseObject({ content: z.string() }).transform((token) => token.content)])
  .nullish()
  .catch(undefined);
const namesSchema = z.looseObject({
  eos_token: tokenNameSchema,
  pad_token: tokenNameSchema,
  bos_token: tokenNameSchema,
});
const idSchema = z
  .union([z.number(), z.array(z.number()).transform((ids) => ids[0])])
  .nullish()
  .catch(undefined);
const idsSchema = z.looseObject({ eos_token_id: idSchema, pad_token_id: idSchema, bos_token_id: idSchema });

/**
 * Reads the tokenizer of a model folder: `tokenizer.json`, and which token ends, pads or begins a sequence from
 * `tokenizer_config.json`, else `special_tokens_map.json`, else `config.json`.
 *
 * @throws TuneyardError `tokenizer_invalid` where tokenizer.json is missing, broken, or of an unsupported kind
 */
export async function loadTokenizer(dir: string): Promise<Tokenizer> {
  const file = join(dir, 'tokenizer.json');
  const json = await readJson(file);
  if (json === undefined) {
    throw new TuneyardError(
      'tokenizer_invalid',
      'the model has no tokenizer.json; save its tokenizer as a fast one (save_pretrained does) or take a model that has one.',
      { place: { file } },
    );
  }
  const config = (await readJson(join(dir, 'tokenizer_config.json'))) ?? {};
  const map = (await readJson(join(dir, 'special_tokens_map.json'))) ?? {};
  const model = (await readJson(join(dir, 'config.json'))) ?? {};
  const tokens = specialTexts([config, map]);
  const chatTemplate = await readChatTemplate(dir, config as Record<string, unknown>, tokens);
  const options = { file, config, names: [config, map], ids: model };
  return createTokenizer(json, { ...options, ...(chatTemplate && { chatTemplate }) });
}

/** `bos_token` and so on as they are written: what templates of chats may name. */
function specialTexts(sources: readonly object[]): Record<string, string> {
  const texts: Record<string, string> = { bos_token: '', eos_token: '', pad_token: '', unk_token: '' };
  for (const source of [...sources].reverse()) {
    for (const [name, value] of Object.entries(source)) {
      const text = name.endsWith('_token') ? tokenNameSchema.safeParse(value).data : undefined;
      if (typeof text === 'string') texts[name] = text;
    }
  }
  return texts;
}

/**
 * A tokenizer from the parsed files.
 *
 * @param json the content of tokenizer.json
 * @param options.file its path, for messages
 * @param options.config the content of tokenizer_config.json
 * @param options.names where `eos_token`, `pad_token` and `bos_token` are looked for, in this order (default: config)
 * @param options.ids where `eos_token_id` and so on are looked for after that (a model's config.json)
 * @throws TuneyardError `tokenizer_invalid`
 */
export function createTokenizer(
  json: unknown,
  options: { file?: string; config?: object; names?: unknown[]; ids?: unknown; chatTemplate?: ChatTemplate } = {},
): Tokenizer {
  const place = { file: options.file ?? 'tokenizer.json' };
  const parsed = tokenizerFileSchema.safeParse(json);
  if (!parsed.success) {
    const path = parsed.error.issues[0]?.path.join('.') || 'the file';
    throw new TuneyardError('tokenizer_invalid', `this is no tokenizer of Hugging Face's format: see ${path}.`, {
      place,
    });
  }
  const config = options.config ?? {};
  let library: HfTokenizer;
  try {
    library = new HfTokenizer(parsed.data, config);
    library.encode('a');
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new TuneyardError('tokenizer_invalid', `the tokenizer cannot be used (${why}); copy the model again.`, {
      place,
      cause,
    });
  }
  const names = (options.names ?? [config]).map((source) => namesSchema.safeParse(source).data);
  const ids = idsSchema.safeParse(options.ids ?? {}).data;
  const special = (kind: 'eos' | 'pad' | 'bos'): number | undefined => {
    for (const source of names) {
      const name = source?.[`${kind}_token`];
      const id = name === undefined || name === null ? undefined : library.token_to_id(name);
      if (id !== undefined) return id;
    }
    return ids?.[`${kind}_token_id`] ?? undefined;
  };
  return new FileTokenizer(library, parsed.data, place.file, config, {
    eosTokenId: special('eos'),
    padTokenId: special('pad'),
    bosTokenId: special('bos'),
    chatTemplate: options.chatTemplate,
  });
}

interface SpecialIds {
  eosTokenId: number | undefined;
  padTokenId: number | undefined;
  bosTokenId: number | undefined;
  chatTemplate: ChatTemplate | undefined;
}

/** Words that are remembered, and of how many characters: about 4 MB. */
const MOST_WORDS = 20_000;
const LONGEST_WORD = 48;

class FileTokenizer implements Tokenizer {
  readonly vocabSize: number;
  readonly eosTokenId?: number;
  readonly padTokenId?: number;
  readonly chatTemplate?: ChatTemplate;
  readonly bosTokenId?: number;
  /** What the post-processor puts before a text. */
  private readonly prefix: Int32Array;
  private readonly addsSpace: boolean;
  private readonly byteLevel: boolean;
  private readonly cut: Cutter;
  /** Where words can be encoded one by one. */
  private readonly cutWords: Cutter | undefined;
  private readonly words = new Map<string, Int32Array>();

  constructor(
    private readonly library: HfTokenizer,
    file: TokenizerFile,
    private readonly path: string,
    config: object,
    ids: SpecialIds,
  ) {
    this.vocabSize = highestId(file) + 1;
    if (ids.eosTokenId !== undefined) this.eosTokenId = ids.eosTokenId;
    if (ids.padTokenId !== undefined) this.padTokenId = ids.padTokenId;
    if (ids.bosTokenId !== undefined) this.bosTokenId = ids.bosTokenId;
    if (ids.chatTemplate) this.chatTemplate = ids.chatTemplate;
    this.byteLevel = JSON.stringify(file.decoder).includes('"ByteLevel"');
    this.cutWords = wordCutter(file, library, config);
    // What is remembered here need not be remembered there.
    if (this.cutWords && library.model) Object.assign(library.model, { max_length_to_cache: 0 });
    this.cut = this.cutWords ?? chooseCutter(file);

    const bare = library.encode('a', { add_special_tokens: false });
    const full = library.encode('a').ids;
    const at = full.findIndex((_, i) => bare.ids.every((id, k) => full[i + k] === id));
    this.prefix = Int32Array.from(at > 0 ? full.slice(0, at) : []);
    this.addsSpace = /^[▁Ġ]/.test(bare.tokens[0] ?? '');
  }

  encode(text: string): Int32Array {
    if (text === '') return new Int32Array(0);
    const pieces = this.cut(text);
    if (!this.cutWords) return concatIds(pieces.map((piece) => this.encodePiece(piece)));
    const ids: number[] = [];
    for (const word of pieces) {
      let known = this.words.get(word);
      if (known === undefined) {
        known = this.encodePiece(word);
        if (word.length <= LONGEST_WORD) this.remember(word, known);
      }
      for (let i = 0; i < known.length; i++) ids.push(known[i]!);
    }
    return Int32Array.from(ids);
  }

  private encodePiece(text: string): Int32Array {
    const { ids } = this.library.encode(text, { add_special_tokens: false });
    if (ids.some((id) => id === undefined)) {
      throw new TuneyardError(
        'tokenizer_invalid',
        `the vocabulary has no token for a part of ${JSON.stringify(text.slice(0, 40))} and no unknown token either.`,
        { place: { file: this.path } },
      );
    }
    return Int32Array.from(ids);
  }

  private remember(word: string, ids: Int32Array): void {
    // The common ones are soon back.
    if (this.words.size >= MOST_WORDS) this.words.clear();
    // A piece of a text would keep all of the text in memory.
    this.words.set(` ${word}`.slice(1), ids);
  }

  encodeStart(text: string): Int32Array {
    return concatIds([this.prefix, this.encode(text)]);
  }

  encodeContinuation(text: string): Int32Array {
    if (!this.addsSpace || text === '') return this.encode(text);
    // Behind a line feed, which merges with nothing, no space is put before the text; then the line feed goes.
    const anchor = this.encode('\n');
    const anchored = this.encode(`\n${text}`);
    return anchor.every((id, i) => anchored[i] === id) ? anchored.subarray(anchor.length) : this.encode(text);
  }

  decode(ids: ArrayLike<number>, options: { skipSpecialTokens?: boolean } = {}): string {
    if (ids.length === 0) return '';
    return this.library.decode(Array.from(ids), {
      skip_special_tokens: options.skipSpecialTokens ?? false,
      clean_up_tokenization_spaces: false,
    });
  }

  tokenText(id: number): string {
    if (this.byteLevel) return this.decode([id]);
    return (this.library.id_to_token(id) ?? `<${id}>`).replaceAll('▁', ' ');
  }
}

/** Some arrays of ids end to end. */
export function concatIds(parts: readonly Int32Array[]): Int32Array {
  const out = new Int32Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

function highestId(file: TokenizerFile): number {
  let highest = -1;
  const { vocab } = file.model;
  // Unigram vocabularies are lists of [token, score]: the place is the id.
  if (Array.isArray(vocab)) highest = vocab.length - 1;
  else for (const id of Object.values(vocab)) highest = Math.max(highest, id);
  for (const { id } of file.added_tokens) highest = Math.max(highest, id);
  return highest;
}

/** A JSON file's content; undefined where there is no such file. */
async function readJson(file: string): Promise<object | undefined> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR')) {
      return undefined;
    }
    throw new TuneyardError('tokenizer_invalid', `the file cannot be read (${String(error)}); check its permissions.`, {
      place: { file },
    });
  }
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null) return value;
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new TuneyardError('tokenizer_invalid', `the file is not valid JSON (${why}); copy the model again.`, {
      place: { file },
      cause,
    });
  }
  throw new TuneyardError('tokenizer_invalid', 'the file holds no JSON object; copy the model again.', {
    place: { file },
  });
}
