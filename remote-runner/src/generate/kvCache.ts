/** Text generation's {@link Decoder} on compiled graphs, with the key/value cache in host memory. */
import { TuneyardError } from '@protocol/errors';
import { type TensorView, view } from '../engine/engine';
import type { CausalLm } from '../models/causalLm';
import type { ParameterSet } from '../train/arena';
import { hashArena } from '../train/hashArena';
import { DECODE } from './decodeGraph';
import type { Decoder, DecodeState } from './decoder';
import { type KvCacheProgramOptions, KvCachePrograms, type Program } from './kvCachePrograms';
import { emptyView, KvCacheTensors, type NewKeyValues, newKeyValues } from './kvCacheTensors';

export interface DecoderOptions extends KvCacheProgramOptions {
  /** Read in place, never copied. They must not change while a text is generated. */
  readonly parameters: ParameterSet;
  /** The name of the weights, where it is known; default: their hash. */
  readonly weights?: string;
  /** Compiled programs to share with other decoders of the same model; whoever made them releases them. */
  readonly programs?: KvCachePrograms | undefined;
}

export interface ReleasableDecoder extends Decoder {
  /** Frees the compiled programs, unless they are shared. */
  release(): Promise<void>;
}

/**
 * A decoder over the parameters as they are now: `weights` is their hash, computed here. After a training step make
 * another one; with shared `programs` that costs no more than the hash.
 */
export function createDecoder(options: DecoderOptions): ReleasableDecoder {
  const { model, parameters } = options;
  const programs = options.programs ?? new KvCachePrograms(options);
  const views: Record<string, TensorView> = {};
  for (const { name } of parameters.tensors) views[name] = parameters.view(name);
  const core: DecoderCore = { ...options, programs, views };
  return {
    weights: options.weights ?? hashArena(parameters),
    vocabSize: model.vocabSize,
    maxLength: model.maxPositions,
    prefill: (prompts, beams, capacity) => {
      const virtual = model.front?.ids ?? [];
      const whole = prompts.map((ids) => (ids.length === 0 ? ids : Int32Array.of(...virtual, ...ids)));
      return prefill(core, whole, beams, capacity + virtual.length);
    },
    release: async () => {
      if (!options.programs) await programs.release();
    },
  };
}

interface DecoderCore extends KvCacheProgramOptions {
  readonly programs: KvCachePrograms;
  /** The parameters by name. */
  readonly views: Readonly<Record<string, TensorView>>;
}

/** Of texts and of the virtual tokens in front of them. */
const positionsOf = ({ maxPositions, front }: CausalLm): number => maxPositions + (front?.ids.length ?? 0);

/** Tokens (padding included) of prompts that go through the model at once: more would only take more memory. */
const PREFILL_TOKENS = 2048;

async function prefill(
  core: DecoderCore,
  prompts: readonly Int32Array[],
  beams: number,
  capacity: number,
): Promise<CachedState> {
  const { model } = core;
  const longest = Math.max(...prompts.map((ids) => ids.length));
  if (prompts.some((ids) => ids.length === 0) || longest > capacity || capacity > positionsOf(model)) {
    throw new TuneyardError(
      'internal',
      `prompts of up to ${longest} tokens do not fit a cache of ${capacity} (the model has ${positionsOf(model)} positions).`,
    );
  }
  const length = Math.min(prefillLength(longest), positionsOf(model));
  const room = cacheCapacity(Math.min(longest + 1, capacity), positionsOf(model));
  const cache = new KvCacheTensors(model, prompts.length * beams, room);
  const state = new CachedState(core, cache, capacity);

  const atATime = Math.max(1, Math.floor(PREFILL_TOKENS / length));
  for (let first = 0; first < prompts.length; first += atATime) {
    const batch = prompts.slice(first, first + atATime);
    const { logits, keyValues } = await runPrompts(core, batch, length);
    for (const [i, { length: tokens }] of batch.entries()) {
      for (let row = (first + i) * beams; row < (first + i + 1) * beams; row++) {
        cache.append(row, keyValues, i, tokens);
        state.logits.set(logits.subarray(i * model.vocabSize, (i + 1) * model.vocabSize), row * model.vocabSize);
      }
    }
  }
  return state;
}

async function runPrompts(
  { programs, model, views }: DecoderCore,
  prompts: readonly Int32Array[],
  length: number,
): Promise<{ logits: Float32Array; keyValues: NewKeyValues }> {
  const batch = prompts.length;
  const ids = new BigInt64Array(batch * length);
  for (const [i, prompt] of prompts.entries()) for (const [t, id] of prompt.entries()) ids[i * length + t] = BigInt(id);
  const positions = BigInt64Array.from({ length: batch * length }, (_, i) => BigInt(i % length));
  const last = BigInt64Array.from(prompts, (prompt, i) => BigInt(i * length + prompt.length - 1));
  const logits = new Float32Array(batch * model.vocabSize);
  const keyValues = newKeyValues(model, batch, length);
  const { executable } = await programs.prefill(batch, length);
  await executable.run(
    {
      ...views,
      [DECODE.ids]: view(ids, [batch, length]),
      [DECODE.positions]: view(positions, [batch, length]),
      [DECODE.last]: view(last, [batch]),
    },
    { [DECODE.logits]: view(logits, [batch, model.vocabSize]), ...keyValues.views },
  );
  return { logits, keyValues };
}

/** What a step is fed, made once for each capacity of the cache: a step itself allocates nothing of size. */
interface Bound {
  readonly capacity: number;
  readonly inputs: Readonly<Record<string, TensorView>>;
  readonly masks: readonly { window: number; data: Float32Array }[];
}

class CachedState implements DecodeState {
  readonly rows: number;
  readonly logits: Float32Array;
  readonly lengths: Int32Array;
  private readonly ids: BigInt64Array;
  private readonly positions: BigInt64Array;
  private readonly fed: Readonly<Record<string, TensorView>>;
  private readonly fetched: Readonly<Record<string, TensorView>>;
  private readonly newTokens: NewKeyValues;
  private bound: Bound | undefined;
  private cache: KvCacheTensors | undefined;

  constructor(
    private readonly core: DecoderCore,
    cache: KvCacheTensors,
    /** Tokens that a row may come to. */
    private readonly limit: number,
  ) {
    const { model, views } = core;
    const { rows } = cache;
    this.rows = rows;
    this.cache = cache;
    this.lengths = cache.lengths;
    this.logits = new Float32Array(rows * model.vocabSize);
    this.ids = new BigInt64Array(rows);
    this.positions = new BigInt64Array(rows);
    this.newTokens = newKeyValues(model, rows, 1);
    this.fed = {
      ...views,
      [DECODE.ids]: view(this.ids, [rows, 1]),
      [DECODE.positions]: view(this.positions, [rows, 1]),
    };
    this.fetched = { [DECODE.logits]: view(this.logits, [rows, model.vocabSize]), ...this.newTokens.views };
  }

  async step(tokens: Int32Array): Promise<void> {
    const cache = this.open();
    const longest = Math.max(...cache.lengths);
    if (longest >= this.limit) {
      throw new TuneyardError('internal', `a row has ${longest} tokens and its cache was made for ${this.limit}.`);
    }
    if (longest === cache.capacity) cache.grow(cacheCapacity(longest + 1, positionsOf(this.core.model)));
    const program = await this.core.programs.step(this.rows, cache.capacity);
    const { inputs, masks } = this.bind(cache, program);
    for (let row = 0; row < this.rows; row++) {
      this.ids[row] = BigInt(tokens[row]!);
      this.positions[row] = BigInt(cache.lengths[row]!);
    }
    for (const { window, data } of masks) cache.fillMask(window, data);
    await program.executable.run(inputs, this.fetched);
    for (let row = 0; row < this.rows; row++) cache.append(row, this.newTokens, row, 1);
  }

  async reorder(source: Int32Array): Promise<void> {
    this.open().reorder(source);
  }

  release(): void {
    this.cache = undefined;
    this.bound = undefined;
  }

  private bind(cache: KvCacheTensors, { windows }: Program): Bound {
    if (this.bound?.capacity === cache.capacity) return this.bound;
    const masks = windows.map((window) => ({ window, mask: emptyView([this.rows, 1, 1, cache.capacity]) }));
    this.bound = {
      capacity: cache.capacity,
      inputs: {
        ...this.fed,
        ...cache.views,
        ...Object.fromEntries(masks.map(({ window, mask }) => [DECODE.mask(window), mask])),
      },
      masks: masks.map(({ window, mask }) => ({ window, data: mask.data as Float32Array })),
    };
    return this.bound;
  }

  private open(): KvCacheTensors {
    if (this.cache) return this.cache;
    throw new TuneyardError('internal', 'a decoding state was used after its release.');
  }
}

/** The length prompts are padded to: a multiple of 16, from 64 on of a quarter of the power of two below; few graphs, little padding. */
function prefillLength(tokens: number): number {
  const step = Math.max(16, 2 ** Math.floor(Math.log2(Math.max(1, tokens - 1))) / 4);
  return Math.ceil(tokens / step) * step;
}

/** Tokens a cache has room for: 64 or a power of two above it. A graph is compiled for each, so there are few. */
function cacheCapacity(tokens: number, maxPositions: number): number {
  return Math.min(maxPositions, Math.max(64, 2 ** Math.ceil(Math.log2(tokens))));
}
