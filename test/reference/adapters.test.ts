import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { recipeSchema } from '@protocol/recipe';
import { openSafetensors } from '@runner/hub/safetensors';
import { continueAdapter } from '@runner/methods/continueAdapter';
import { prepareMethod } from '@runner/methods/index';
import { mergeAdapter } from '@runner/methods/mergeAdapter';
import { openAdapter } from '@runner/methods/peftAdapter';
import { loadParameters, openModel } from '@runner/models/loadModel';
import { writeModelDir } from '@runner/train/checkpoint';
import { describe, expect, it } from 'vitest';
import { gradientDeviations, logitsOf, lossOf, openAdapted, openReference, recipeOf } from './evaluation';
import {
  ADAPTERS,
  type AdapterName,
  adapterDirOf,
  deviation,
  modelDirOf,
  QUANTIZED_ADAPTERS,
  readAdapter,
  readAdapterTensors,
} from './fixtures';

const TOLERANCE = 1e-4;

describe.each([...ADAPTERS, ...QUANTIZED_ADAPTERS])('%s, as PEFT saved it', (name) => {
  const reference = readAdapter(name);

  it('gives PEFT’s logits, loss and gradients, and no other gradients', async () => {
    const opened = await openAdapted(name);
    const tensors = await readAdapterTensors(name);
    for (const [n, batch] of reference.batches.entries()) {
      expect(deviation([await lossOf(opened, batch)], [batch.loss])).toBeLessThan(TOLERANCE);
      expect(deviation(await logitsOf(opened, batch), await tensors.read(`${n}.logits`))).toBeLessThan(TOLERANCE);
    }
    // PEFT calls what it wraps by other names than it saves.
    const wrapped = new Set(tensors.names().flatMap((key) => /^0\.grad\.(.*)$/.exec(key)?.[1] ?? []));
    const plain = (key: string) =>
      key.replace(/^base_model\.model\./, '').replace(/\.(base_layer|modules_to_save)\./, '.');
    const named = new Map(
      [...wrapped].map((key) => [
        /\.(lora_|ia3_)/.test(key) ? key.replace(/(magnitude_vector)\.weight$/, '$1') : plain(key),
        key,
      ]),
    );
    const found = await gradientDeviations(opened, { batches: reference.batches, tensors }, (key) => named.get(key)!);
    expect(found.map(({ parameter }) => parameter).sort()).toEqual([...named.keys()].sort());
    for (const { parameter, alone, added } of found) {
      expect(alone, parameter).toBeLessThan(TOLERANCE);
      expect(added, `${parameter}, added up`).toBeLessThan(TOLERANCE);
    }
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

  it('is saved with the names, shapes and settings that PEFT saves', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'tuneyard-adapter-'));
    try {
      const opened = await openAdapted(name);
      const base = (await openReference(reference.model)).model;
      const { adapter } = prepareMethod(base, recipeOf(name), reference.model);
      const weights = opened.gradients.tensors.map(({ name: key, shape }) => ({
        ...{ name: adapter!.savedName(key), shape },
        data: opened.parameters.slice(key),
      }));
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
      expect(ours!.names().sort()).toEqual(theirs!.names().sort());
      for (const key of theirs!.names())
        expect(Buffer.from((await ours!.readFloat32(key)).buffer), key).toEqual(
          Buffer.from((await theirs!.readFloat32(key)).buffer),
        );
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
      ])
        expect(mine[key], key).toEqual(peft[key]);
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
