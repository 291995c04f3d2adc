import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { type GenerationRecipe, generationSchema } from '@protocol/recipe';
import type { Decoder, DecodeState } from '@runner/generate/decoder';

interface TinyRnnFixture {
  vocab: number;
  hidden: number;
  eos: number;
  weights: { recurrent: number[]; embedding: number[]; head: number[]; bias: number[] };
  prompts: number[][];
  cases: { options: Partial<GenerationRecipe> & { eos_token_id?: number[] }; generated: number[][] }[];
}

/** Weights, and what transformers generates with them: test/fixtures/generate/make.py. */
export const tinyRnnFixture: TinyRnnFixture = readFixture('tinyRnn.json');

export function readFixture<T>(name: string): T {
  return JSON.parse(readFileSync(new URL(`../../fixtures/generate/${name}`, import.meta.url), 'utf8'));
}

export function generationOptions(options: Partial<GenerationRecipe>): GenerationRecipe {
  return generationSchema.parse(options);
}

/**
 * A small recurrent model, h' = tanh(A h + E[token]), logits = U h + bias. Each logit depends on the whole history,
 * so a cache row mixed up shows; and it refuses what a real cache could not do.
 */
export class TinyRnn implements Decoder {
  readonly vocabSize = tinyRnnFixture.vocab;
  readonly maxLength: number;
  /** States handed out and not yet released. */
  open = 0;
  steps = 0;
  private readonly bias: Float32Array;

  /** @param variant shifts the biases: another model of the same shape */
  constructor({ maxLength = 64, variant = 0 }: { maxLength?: number; variant?: number } = {}) {
    this.maxLength = maxLength;
    this.bias = Float32Array.from(tinyRnnFixture.weights.bias, (value, i) => value + Math.sin(i * variant));
  }

  get weights(): string {
    return `sha256:${createHash('sha256').update(this.bias).digest('hex').slice(0, 12)}`;
  }

  /** As a training step would. */
  train(): void {
    this.bias[0] = this.bias[0]! + 1;
  }

  async prefill(prompts: readonly Int32Array[], beams: number, capacity: number): Promise<DecodeState> {
    if (capacity > this.maxLength) throw new RangeError(`${capacity} positions of ${this.maxLength}`);
    let rows = prompts.flatMap((prompt) => {
      if (prompt.length === 0) throw new RangeError('empty prompt');
      return Array.from({ length: beams }, () => prompt.reduce((h, t) => this.next(h, t), new Float32Array(HIDDEN)));
    });
    const lengths = Int32Array.from(prompts.flatMap((prompt) => Array.from({ length: beams }, () => prompt.length)));
    const logits = new Float32Array(rows.length * this.vocabSize);
    const project = () => {
      for (const [row, hidden] of rows.entries()) logits.set(this.project(hidden), row * this.vocabSize);
    };
    project();
    this.open++;
    return {
      rows: rows.length,
      logits,
      lengths,
      step: async (tokens) => {
        if (tokens.length !== rows.length) throw new RangeError(`${tokens.length} tokens for ${rows.length} rows`);
        rows = rows.map((hidden, row) => {
          if (++lengths[row]! > capacity) throw new RangeError(`row ${row} is longer than ${capacity}`);
          return this.next(hidden, tokens[row]!);
        });
        project();
        this.steps++;
      },
      reorder: async (source) => {
        rows = Array.from(source, (from) => rows[from]!);
        lengths.set(Array.from(source, (from) => lengths[from]!));
      },
      release: () => {
        this.open--;
      },
    };
  }

  /** Logits behind a whole history, computed anew. */
  logitsAfter(history: Iterable<number>): Float32Array {
    let hidden = new Float32Array(HIDDEN);
    for (const token of history) hidden = this.next(hidden, token);
    return this.project(hidden);
  }

  private next(hidden: Float32Array, token: number): Float32Array<ArrayBuffer> {
    if (token < 0 || token >= this.vocabSize) throw new RangeError(`token ${token}`);
    const { recurrent, embedding } = tinyRnnFixture.weights;
    return Float32Array.from(hidden, (_, i) => {
      let sum = embedding[token * HIDDEN + i]!;
      for (let j = 0; j < HIDDEN; j++) sum += recurrent[i * HIDDEN + j]! * hidden[j]!;
      return Math.tanh(sum);
    });
  }

  private project(hidden: Float32Array): Float32Array {
    return this.bias.map((bias, token) => {
      let sum = bias;
      for (let j = 0; j < HIDDEN; j++) sum += tinyRnnFixture.weights.head[token * HIDDEN + j]! * hidden[j]!;
      return sum;
    });
  }
}

const HIDDEN = tinyRnnFixture.hidden;
