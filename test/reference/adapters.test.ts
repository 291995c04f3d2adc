import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { recipeSchema } from '@protocol/recipe';
import { createDecoder } from '@runner/generate/kvCache';
import { openSafetensors } from '@runner/hub/safetensors';
import { openParameters } from '@runner/jobs/openParameters';
import { openFiles } from '@runner/jobs/prepare';
import { continueAdapter } from '@runner/methods/continueAdapter';
import { prepareMethod } from '@runner/methods/index';
import { mergeAdapter } from '@runner/methods/mergeAdapter';
import { openAdapter } from '@runner/methods/peftAdapter';
import { loadParameters, openModel } from '@runner/models/loadModel';
import { newBuilder } from '@runner/ops/index';
import { writeModelDir } from '@runner/train/checkpoint';
import { describe, expect, it } from 'vitest';
import {
  gradientDeviations,
  gradientNames,
  logitsOf,
  lossOf,
  openAdapted,
  openReference,
  openWithAdapter,
  recipeOf,
} from './evaluation';
import {
  ADAPTERS,
  type AdapterName,
  adapterDirOf,
  deviation,
  modelDirOf,
  QUANTIZED_ADAPTERS,
  type ReferenceBatch,
  readAdapter,
  readAdapterTensors,
  SOFT_ADAPTERS,
} from './fixtures';

const TOLERANCE = 1e-4;

describe.each([...ADAPTERS, ...QUANTIZED_ADAPTERS, ...SOFT_ADAPTERS])('%s, as PEFT saved it', (name) => {
  const reference = readAdapter(name);

  it('gives PEFT’s logits, loss and gradients, and no other gradients', async () => {
    const opened = await openAdapted(name);
    const tensors = await readAdapterTensors(name);
    for (const [n, batch] of reference.batches.entries()) {
      expect(deviation([await lossOf(opened, batch)], [batch.loss])).toBeLessThan(TOLERANCE);
      expect(deviation(await logitsOf(opened, batch), await tensors.read(`${n}.logits`))).toBeLessThan(TOLERANCE);
    }
    const named = gradientNames(name, tensors.names());
    const found = await gradientDeviations(opened, { batches: reference.batches, tensors }, (key) => named.get(key)!);
    expect(found.map(({ parameter }) => parameter).sort()).toEqual([...named.keys()].sort());
    for (const { parameter, alone, added } of found) {
      expect(alone, parameter).toBeLessThan(TOLERANCE);
      expect(added, `${parameter}, added up`).toBeLessThan(TOLERANCE);
    }
    await opened.step.release();
  });
});

describe.each([...ADAPTERS, ...SOFT_ADAPTERS])('%s, opened to be used', (name) => {
  it('gives PEFT’s logits and loss', async () => {
    const opened = await openWithAdapter(name);
    const tensors = await readAdapterTensors(name);
    for (const [n, batch] of readAdapter(name).batches.entries()) {
      expect(deviation([await lossOf(opened, batch)], [batch.loss])).toBeLessThan(TOLERANCE);
      expect(deviation(await logitsOf(opened, batch), await tensors.read(`${n}.logits`))).toBeLessThan(TOLERANCE);
    }
    await opened.step.release();
  });
});

describe.each(SOFT_ADAPTERS)('%s', (name) => {
  it('gives the same logits token by token from a cache', async () => {
    const opened = await openWithAdapter(name);
    const [batch] = readAdapter(name).batches as [ReferenceBatch];
    const logits = await (await readAdapterTensors(name)).read('0.logits');
    const { vocabSize } = opened.model;
    const [ids, length] = [batch.input_ids[0]!, batch.lengths[0]!];
    const expected = (t: number) => logits.subarray(t * vocabSize, (t + 1) * vocabSize);
    const decoder = createDecoder({ ...opened, newBuilder });
    const state = await decoder.prefill([Int32Array.from(ids.slice(0, 2))], 1, length);
    for (let t = 2; t < length; t++) {
      expect(deviation(state.logits, expected(t - 1)), `token ${t}`).toBeLessThan(TOLERANCE);
      await state.step(Int32Array.of(ids[t]!));
    }
    expect(deviation(state.logits, expected(length - 1))).toBeLessThan(TOLERANCE);
    expect(decoder.maxLength).toBe(
      (await openReference(readAdapter(name).model)).model.maxPositions - opened.model.front!.ids.length,
    );
    state.release();
    await decoder.release();
    await opened.step.release();
  });
});

describe.each(ADAPTERS)('%s', (name) => {
  const reference = readAdapter(name);

  it('gives the same logits when it is merged, and says what that rounded', async () => {
    const opened = await openReference(reference.model);
    const adapter = await openAdapter(adapterDirOf(name));
    const error = await mergeAdapter(adapter!, opened.model, opened.parameters);
    expect(error).toBeGreaterThan(0);
    expect(error).toBeLessThan(2 ** -23);
    const logits = await (await readAdapterTensors(name)).read('0.logits');
    expect(deviation(await logitsOf(opened, reference.batches[0]!), logits)).toBeLessThan(1e-5);
    await opened.step.release();
  });
});

describe.each([...ADAPTERS, ...SOFT_ADAPTERS])('%s', (name) => {
  const reference = readAdapter(name);

  it('is saved with the names, shapes and settings that PEFT saves', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'tuneyard-adapter-'));
    try {
      const opened = await openAdapted(name);
      const base = (await openReference(reference.model)).model;
      const { adapter } = prepareMethod(base, recipeOf(name), reference.model);
      const trained = opened.gradients.tensors.map(({ name: key, shape }) => ({
        ...{ name: adapter!.savedName(key), shape },
        data: opened.parameters.slice(key),
      }));
      const { derived } = adapter!;
      const weights = derived
        ? [...trained, { name: derived.name, shape: derived.shape, data: derived.of(opened.parameters) }]
        : trained;
      const sourceDir = modelDirOf(reference.model);
      const { path } = await writeModelDir({
        dir: join(dir, 'a'),
        sourceDir,
        config: {},
        adapter: adapter!.config,
        weights,
      });
      const [ours, theirs] = await Promise.all(
        [path, adapterDirOf(name)].map((folder) => openSafetensors(join(folder, 'adapter_model.safetensors'))),
      );
      // What p-tuning goes on with is saved beside it, which PEFT does not mind.
      const beside = reference.kind === 'P_TUNING' ? trained.map(({ name: key }) => key) : [];
      expect(ours!.names().sort()).toEqual([...theirs!.names(), ...beside].sort());
      for (const key of theirs!.names()) {
        const [mine, peft] = [await ours!.readFloat32(key), await theirs!.readFloat32(key)];
        if (derived) expect(deviation(mine, peft)).toBeLessThan(1e-6);
        else expect(Buffer.from(mine.buffer), key).toEqual(Buffer.from(peft.buffer));
      }
      const read = async (folder: string) => JSON.parse(await readFile(join(folder, 'adapter_config.json'), 'utf8'));
      const [mine, peft] = [await read(path), await read(adapterDirOf(name))];
      for (const key of [
        'peft_type',
        'task_type',
        'r',
        'lora_alpha',
        'bias',
        'use_rslora',
        'use_dora',
        'modules_to_save',
        'fan_in_fan_out',
        'num_virtual_tokens',
        'token_dim',
        'num_layers',
        'num_attention_heads',
        'num_transformer_submodules',
        'encoder_reparameterization_type',
        'encoder_hidden_size',
      ])
        if (peft[key] !== undefined) expect(mine[key] ?? null, key).toEqual(peft[key]);
    } finally {
      await rm(dir, { recursive: true, force: true });
    }
  });
});

describe('what a recipe asks adapters for', () => {
  const prepare = async (lora: Record<string, unknown>) => {
    const { model } = await openModel(modelDirOf('gpt2-a'));
    return prepareMethod(model, recipeSchema.parse({ model: 'm', dataset: 'd', method: 'lora', lora }), 'm');
  };

  it('is refused where factors of inputs are for a matrix that gets none', async () => {
    const { model } = await openModel(modelDirOf('gpt2-a'));
    const ia3 = { target_modules: ['c_attn'], feedforward_modules: ['mlp.c_proj'] };
    const recipe = recipeSchema.parse({ model: 'm', dataset: 'd', method: 'ia3', ia3 });
    expect(() => prepareMethod(model, recipe, 'm')).toThrow(
      '"ia3.feedforward_modules" names transformer.h.0.mlp.c_proj, which "ia3.target_modules" does not.',
    );
  });

  it.each([
    [
      { target_modules: ['c_atn'] },
      /names "c_atn", and the model has no such matrix; these are there: c_attn, c_proj, c_fc/,
    ],
    [{ target_modules: ['c_attn', 'q_proj'] }, /names "q_proj"/],
    [{ target_modules: '(' }, /is no regular expression/],
    [{ modules_to_save: ['lm_head'] }, /"lm_head", which is the embedding in this model/],
    [{ modules_to_save: ['score'] }, /names "score", and the model has no module/],
  ])('is refused where the model lacks it: %o', async (lora, message) => {
    await expect(prepare(lora)).rejects.toMatchObject({
      code: 'recipe_invalid',
      message: expect.stringMatching(message),
    });
  });

  it('trains a small share of the weights', async () => {
    const { model, trainable } = await prepare({ r: 2 });
    expect(trainable.size).toBe(2 * 3);
    expect(model.parameters.filter(({ name }) => trainable.has(name)).every(({ name }) => name.includes('lora_'))).toBe(
      true,
    );
  });
});

describe('virtual tokens', () => {
  const prepared = async (options: Record<string, unknown>) => {
    const opened = await openModel(modelDirOf('gpt2-a'));
    const recipe = recipeSchema.parse({ model: 'm', dataset: 'd', method: 'prompt_tuning', prompt_tuning: options });
    const method = prepareMethod(opened.model, recipe, 'm', (text) => [...text].map(Number));
    const { parameters } = await openParameters(opened, method, recipe);
    const [made, table] = [parameters.slice('prompt_embeddings'), parameters.slice(opened.model.embedding)];
    const { hiddenSize } = opened.model;
    const row = (values: Float32Array, i: number) => [...values.subarray(i * hiddenSize, (i + 1) * hiddenSize)];
    return { made: (i: number) => row(made, i), word: (i: number) => row(table, i), opened };
  };

  it('begin as the tokens of a text, over and over, or cut', async () => {
    const how = { num_virtual_tokens: 3, prompt_tuning_init: 'TEXT' };
    const short = await prepared({ ...how, prompt_tuning_init_text: '57' });
    expect([0, 1, 2].map(short.made)).toEqual([5, 7, 5].map(short.word));
    const long = await prepared({ ...how, prompt_tuning_init_text: '5791' });
    expect([0, 1, 2].map(long.made)).toEqual([5, 7, 9].map(long.word));
    await expect(prepared({ ...how, prompt_tuning_init_text: '' })).rejects.toThrow();
  });

  it('begin as words of the vocabulary, the same for the same seed', async () => {
    const how = { num_virtual_tokens: 4, prompt_tuning_init: 'SAMPLE_VOCAB' };
    const { made, word, opened } = await prepared(how);
    const words = Array.from({ length: opened.model.vocabSize }, (_, i) => JSON.stringify(word(i)));
    const found = [0, 1, 2, 3].map((i) => words.indexOf(JSON.stringify(made(i))));
    expect(Math.min(...found)).toBeGreaterThanOrEqual(0);
    expect(new Set(found).size).toBeGreaterThan(1);
    expect((await prepared(how)).made(3)).toEqual(made(3));
  });

  it('leave room for a text, or are refused', async () => {
    await expect(prepared({ num_virtual_tokens: 5000 })).rejects.toMatchObject({
      code: 'recipe_invalid',
      message: expect.stringMatching(/^5000 virtual tokens leave no room for a text: the model has \d+ positions/),
    });
  });

  it.each(['lora', 'full'])('are no start for "method": "%s"', async (method) => {
    const opened = await openFiles(
      adapterDirOf('prompt-gpt2'),
      async (name) => (name.includes('/') ? name : modelDirOf('gpt2-a')),
      '/',
    );
    const recipe = recipeSchema.parse({ model: 'm', dataset: 'd', method });
    const prepare = prepareMethod(opened.bare, recipe, 'm');
    await expect(openParameters(opened, prepare, recipe)).rejects.toThrow(/PROMPT_TUNING/);
  });
});

describe('training that goes on with an adapter', () => {
  const goOn = async (name: AdapterName, how: Record<string, unknown>) => {
    const adapter = await openAdapter(adapterDirOf(name));
    const opened = await openModel(modelDirOf('gpt2-a'));
    const recipe = recipeSchema.parse({ model: 'm', dataset: 'd', ...how });
    const method = prepareMethod(opened.model, recipe, 'm');
    return continueAdapter(adapter!, await loadParameters(opened), method.adapter!, recipe);
  };

  it.each([
    ['lora-gpt2', { method: 'lora' }, 'has "r": 4, the recipe 8; make "lora" the same.'],
    ['ia3-gpt2', { method: 'lora' }, 'is one of IA3, which "method": "lora" does not train.'],
    ['lora-gpt2', { method: 'ia3' }, 'is one of LORA, which "method": "ia3" does not train.'],
  ] as const)('refuses a recipe that describes another one than %s: %o', async (name, how, message) => {
    await expect(goOn(name, how)).rejects.toMatchObject({
      code: 'recipe_invalid',
      message: expect.stringContaining(message),
    });
  });
});
