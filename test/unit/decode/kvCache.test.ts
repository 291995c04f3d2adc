import type { Engine } from '@runner/engine/engine';
import { NativeEngine } from '@runner/engine/native';
import type { DecodeState } from '@runner/generate/decoder';
import { createDecoder, type ReleasableDecoder } from '@runner/generate/kvCache';
import { KvCachePrograms } from '@runner/generate/kvCachePrograms';
import { loadParameters, openModel } from '@runner/models/loadModel';
import { newBuilder, ops } from '@runner/ops/index';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { deviation, modelDirOf, readCase } from '../../reference/fixtures';
import { PlainGpt } from '../../reference/plainGpt';
import { randomTokens, smallNeo } from './smallNeo';

const engine = new NativeEngine(ops);
const small = smallNeo(150);
const POSITIONS = small.model.maxPositions;
let decoder: ReleasableDecoder;

beforeAll(() => {
  decoder = createDecoder({ engine, newBuilder, ...small });
});
afterAll(() => decoder.release());

/** The scores behind a text that goes through the model in one piece. */
async function inOnePiece(text: Int32Array): Promise<Float32Array> {
  const state = await decoder.prefill([text], 1, POSITIONS);
  state.release();
  return state.logits.slice();
}

function scores(state: DecodeState, row: number): Float32Array {
  return state.logits.slice(row * decoder.vocabSize, (row + 1) * decoder.vocabSize);
}

describe('a cache', () => {
  it('gives the scores of the whole text while it grows from 64 tokens to the model’s last position, across local windows', async () => {
    const texts = [randomTokens(POSITIONS, 1), randomTokens(POSITIONS, 2), randomTokens(POSITIONS, 3)];
    const starts = [3, 60, 21];
    const state = await decoder.prefill(
      texts.map((text, row) => text.subarray(0, starts[row])),
      1,
      POSITIONS,
    );
    for (let step = 0; step + 60 < POSITIONS; step++) {
      await state.step(Int32Array.from(texts, (text, row) => text[starts[row]! + step]!));
      // Around the window of 5, the growth at 64 and 128, the window of 90, and the last position.
      if (![0, 1, 3, 4, 5, 29, 30, 31, 67, 68, 69, 88, 89].includes(step)) continue;
      for (const [row, text] of texts.entries()) {
        const whole = await inOnePiece(text.subarray(0, starts[row]! + step + 1));
        expect([row, step, deviation(scores(state, row), whole)]).toSatisfy(([, , d]) => d < 1e-5);
      }
    }
    expect([...state.lengths]).toEqual([93, 150, 111]);
    state.release();
  });

  it('refuses a token beyond what it was made for, instead of writing over another row', async () => {
    const state = await decoder.prefill([randomTokens(70, 1)], 1, 71);
    await state.step(Int32Array.of(1));
    await expect(state.step(Int32Array.of(1))).rejects.toMatchObject({ code: 'internal' });
    state.release();
    await expect(state.step(Int32Array.of(1))).rejects.toMatchObject({ code: 'internal' });
    await expect(decoder.prefill([randomTokens(9, 1)], 1, POSITIONS + 1)).rejects.toMatchObject({ code: 'internal' });
    await expect(decoder.prefill([new Int32Array(0)], 1, 9)).rejects.toMatchObject({ code: 'internal' });
  });
});

describe('reordering', () => {
  it.each([
    ['a swap', [1, 0, 2, 3]],
    ['a cycle', [3, 0, 1, 2]],
    ['one row for all', [2, 2, 2, 2]],
    ['a chain of copies', [0, 0, 1, 2]],
    ['nothing', [0, 1, 2, 3]],
  ])('%s: each row goes on as the row it became', async (_name, order) => {
    const texts = [11, 5, 17, 30].map((length, seed) => randomTokens(length, seed));
    const next = Int32Array.of(7, 8, 9, 10);
    const state = await decoder.prefill(texts, 1, 60);
    await state.reorder(Int32Array.from(order));
    expect([...state.lengths]).toEqual(order.map((from) => texts[from]!.length));
    await state.step(next);
    for (const [row, from] of order.entries()) {
      const whole = await inOnePiece(Int32Array.of(...texts[from]!, next[row]!));
      expect([row, deviation(scores(state, row), whole)]).toSatisfy(([, d]) => d < 1e-5);
    }
    state.release();
  });

  it('before and after a cache grew moves whole rows', async () => {
    const texts = [randomTokens(62, 4), randomTokens(40, 5)];
    const state = await decoder.prefill(texts, 1, 100);
    const written: number[][] = texts.map((text) => [...text]);
    for (let step = 0; step < 6; step++) {
      await state.step(Int32Array.of(step, step + 1));
      written[0]!.push(step);
      written[1]!.push(step + 1);
      await state.reorder(Int32Array.of(1, 0));
      written.reverse();
    }
    await state.step(Int32Array.of(3, 4));
    for (const [row, text] of written.entries()) {
      expect(deviation(scores(state, row), await inOnePiece(Int32Array.of(...text, 3 + row)))).toBeLessThan(1e-5);
    }
    state.release();
  });
});

describe('prefill', () => {
  it('gives each prompt as many equal rows as there are beams', async () => {
    const prompts = [randomTokens(8, 1), randomTokens(19, 2)];
    const state = await decoder.prefill(prompts, 3, 40);
    expect([state.rows, ...state.lengths]).toEqual([6, 8, 8, 8, 19, 19, 19]);
    const next = Int32Array.of(1, 2, 3, 4, 5, 6);
    await state.step(next);
    for (const [row, token] of next.entries()) {
      const whole = await inOnePiece(Int32Array.of(...prompts[Math.floor(row / 3)]!, token));
      expect(deviation(scores(state, row), whole)).toBeLessThan(1e-5);
    }
    state.release();
  });

  it('of more tokens than go through the model at once loses and mixes up no prompt', async () => {
    const prompts = Array.from({ length: 41 }, (_, i) => randomTokens(30 + ((i * 13) % 34), i));
    const state = await decoder.prefill(prompts, 1, 70);
    for (const row of [0, 1, 30, 31, 32, 33, 40]) {
      expect(deviation(scores(state, row), await inOnePiece(prompts[row]!))).toBeLessThan(1e-5);
    }
    state.release();
  });

  it('scores a prompt alike alone and beside longer ones', async () => {
    const { batches } = await readCase('gpt-neo-a');
    const opened = await openModel(modelDirOf('gpt-neo-a'));
    const neo = createDecoder({ engine, newBuilder, model: opened.model, parameters: await loadParameters(opened) });
    const prompts = batches[2]!.input_ids.map((ids, row) => Int32Array.from(ids.slice(0, batches[2]!.lengths[row])));
    const together = await neo.prefill(prompts, 1, neo.maxLength);
    const plain = await (await PlainGpt.open(modelDirOf('gpt-neo-a'))).prefill(prompts, 1);
    expect(deviation(together.logits, plain.logits)).toBeLessThan(1e-5);
    await neo.release();
  });
});

describe('the weights’ name', () => {
  it('is the same for a model loaded twice, another one after a single weight changed, and never a stale one', async () => {
    const opened = await openModel(modelDirOf('gpt2-a'));
    const make = async () => createDecoder({ engine, newBuilder, ...opened, parameters: await loadParameters(opened) });
    const first = (await make()).weights;
    expect(first).toMatch(/^sha256:[0-9a-f]{12}$/);
    expect((await make()).weights).toBe(first);
    const parameters = await loadParameters(opened);
    parameters.slice('transformer.ln_f.bias')[0]! += 1;
    expect(createDecoder({ engine, newBuilder, ...opened, parameters }).weights).not.toBe(first);
    // The file that holds the same numbers in five shards is the same model.
    const sharded = await openModel(modelDirOf('gpt2-a-sharded'));
    const parts = createDecoder({ engine, newBuilder, ...sharded, parameters: await loadParameters(sharded) });
    expect(parts.weights).toBe(first);
  });
});

describe('shared programs', () => {
  /** The real engine, with a look at how often it compiles. */
  function counting(): { engine: Engine; compiled: () => number } {
    let count = 0;
    return {
      engine: {
        label: engine.label,
        runtime: engine.runtime,
        compile: (graph) => {
          count++;
          return engine.compile(graph);
        },
      },
      compiled: () => count,
    };
  }

  it('let a decoder between two training steps see the new weights without compiling again', async () => {
    const { model, parameters } = smallNeo(100, 5);
    const counted = counting();
    const options = { engine: counted.engine, newBuilder, model, parameters };
    const programs = new KvCachePrograms(options);
    const text = randomTokens(12, 1);
    const scoresNow = async () => {
      const current = createDecoder({ ...options, programs });
      const state = await current.prefill([text], 1, 20);
      await state.step(Int32Array.of(3));
      await current.release();
      return state.logits;
    };
    const before = await scoresNow();
    parameters.slice(model.headWeight).forEach((value, i, all) => {
      all[i] = 2 * value;
    });
    const after = await scoresNow();
    expect(deviation(after, before)).toBeGreaterThan(0.1);
    expect(counted.compiled()).toBe(2);
    await programs.release();
  });

  it('go on working where more shapes come than are kept', async () => {
    const counted = counting();
    const many = createDecoder({ engine: counted.engine, newBuilder, ...small });
    for (let rows = 1; rows <= 9; rows++) {
      const prompts = Array.from({ length: rows }, (_, i) => randomTokens(4, i));
      const state = await many.prefill(prompts, 1, 10);
      await state.step(new Int32Array(rows));
      const last = Int32Array.of(...prompts[rows - 1]!, 0);
      expect(deviation(scores(state, rows - 1), await inOnePiece(last))).toBeLessThan(1e-5);
    }
    const compiled = counted.compiled();
    await many.prefill([randomTokens(4, 0)], 1, 10);
    expect(counted.compiled()).toBe(compiled + 1);
    await many.release();
  });
});
