import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { TuneyardError } from '@protocol/errors';
import { loadRecipe, recipeFromSettings } from '@runner/recipe/loadRecipe';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

let dir: string;
let file: string;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'tuneyard-recipe-'));
  file = join(dir, 'my.tune.json');
});
afterEach(() => rmSync(dir, { recursive: true }));

async function failure(content: string | Buffer, settings: string[] = []): Promise<TuneyardError> {
  writeFileSync(file, content);
  const error = await loadRecipe(file, settings).catch((error: unknown) => error);
  if (!(error instanceof TuneyardError)) throw new Error(`a TuneyardError was expected, not ${error}`);
  return error;
}

describe('a recipe that is right', () => {
  it('may have comments and trailing commas, and gets every default', async () => {
    writeFileSync(file, '\uFEFF// mine\r\n{ "model": "owner/name", /* so */ "dataset": "data.jsonl",\r\n}\r\n');
    const { recipe, path, baseDir } = await loadRecipe(file);
    expect(recipe).toMatchObject({ model: 'owner/name', learning_rate: 5e-5, max_length: 512, method: 'full' });
    expect(recipe.generation.max_new_tokens).toBe(64);
    expect({ path, baseDir }).toEqual({ path: file, baseDir: dir });
  });

  it('means the files beside it, from whatever folder the command is run', async () => {
    mkdirSync(join(dir, 'owner/local'), { recursive: true });
    writeFileSync(file, '{"model": "owner/local", "dataset": {"path": "../d.csv", "test_path": "~/t.csv"}}');
    const { recipe } = await loadRecipe(file, ['resume_from_checkpoint=checkpoints/step-3']);
    expect(recipe.model).toBe(join(dir, 'owner/local'));
    expect(recipe.dataset).toMatchObject({ path: join(tmpdir(), 'd.csv'), test_path: join(homedir(), 't.csv') });
    expect(recipe.resume_from_checkpoint).toBe(join(dir, 'checkpoints/step-3'));
  });

  it('leaves names on the hub and true for resume_from_checkpoint alone', async () => {
    writeFileSync(file, '{"model": "gpt2", "dataset": "/data.txt", "resume_from_checkpoint": true}');
    const { recipe } = await loadRecipe(file);
    expect([recipe.model, recipe.dataset, recipe.resume_from_checkpoint]).toEqual(['gpt2', '/data.txt', true]);
  });
});

describe('--set', () => {
  const load = async (...settings: string[]) => {
    writeFileSync(file, '{"model": "gpt2", "dataset": "d.jsonl", "max_steps": 5}');
    return (await loadRecipe(file, settings)).recipe;
  };

  it('takes numbers, texts, lists and dotted keys over the file, the last one winning', async () => {
    const recipe = await load(
      'max_steps=7',
      'max_steps=9',
      'optim=sgd',
      'generation.prompts=["a=b"]',
      'generation.top_k=3',
    );
    expect(recipe).toMatchObject({ max_steps: 9, optim: 'sgd', generation: { prompts: ['a=b'], top_k: 3 } });
  });

  it('takes a number for a text where the recipe wants a text', async () => {
    expect(await load('revision=0123', 'revision=1234567')).toMatchObject({ revision: '1234567' });
    await expect(load('revision=[1]')).rejects.toThrow('"revision" must be a text, not a list.');
  });

  it('reaches into a dataset that the file gives as a path', async () => {
    expect((await load('dataset.test_size=0.5')).dataset).toMatchObject({ path: join(dir, 'd.jsonl'), test_size: 0.5 });
  });

  it('says that a wrong value came from the command line, not from the file', async () => {
    const error = await load('max_steps=many').catch((error: unknown) => error);
    expect(String(error)).toContain('--set max_steps=many: "max_steps" must be a number, not the text "many".');
  });

  it('names the nearest key for an unknown one', async () => {
    await expect(load('lerning_rate=1')).rejects.toThrow(
      '--set lerning_rate=1: unknown key "lerning_rate"; the nearest known one is "learning_rate".',
    );
  });

  it.each(['max_steps', '=3', 'a..b=1', ''])('refuses %j as it is no key=value', async (setting) => {
    await expect(load(setting)).rejects.toMatchObject({ code: 'usage', exitStatus: 2 });
  });

  it('refuses to reach into what is no object', async () => {
    await expect(load('max_steps.x=1')).rejects.toThrow('"max_steps" has no keys in it');
  });

  it.each(['__proto__.polluted=1', 'generation.__proto__.polluted=1'])(
    'leaves prototypes alone: %s',
    async (setting) => {
      await expect(load(setting)).rejects.toMatchObject({ code: 'recipe_invalid' });
      expect(({} as Record<string, unknown>).polluted).toBeUndefined();
    },
  );

  it('makes a recipe without a file', () => {
    const { recipe } = recipeFromSettings({ model: 'm', dataset: 'd.txt' }, ['seed=7'], '/base');
    expect(recipe).toMatchObject({ model: 'm', dataset: '/base/d.txt', seed: 7 });
    expect(() => recipeFromSettings({ model: 'm' }, [], '/base')).toThrow('"dataset" is missing');
  });
});

describe('a recipe that is wrong', () => {
  const minimal = '"model": "m", "dataset": "d.txt"';

  it.each([
    [
      'unknown key, with the likeliest',
      '"learnig_rate": 1',
      'unknown key "learnig_rate"; the nearest known one is "learning_rate".',
    ],
    ['camel case', '"numTrainEpochs": 1', 'the nearest known one is "num_train_epochs".'],
    ['short name', '"batch_size": 1', 'the nearest known one is "per_device_train_batch_size".'],
    ['key of another object', '"top_k": 3', 'it is written as "generation.top_k" (inside "generation").'],
    ['text for a number', '"learning_rate": "fast"', '"learning_rate" must be a number, not the text "fast".'],
    ['fraction for a whole number', '"max_length": 1.5', '"max_length" must be a whole number, not 1.5.'],
    ['number for a truth', '"group_by_length": 1', '"group_by_length" must be true or false, not 1.'],
    ['null', '"seed": null', '"seed" must be a number, not null.'],
    ['too small', '"warmup_steps": -1', '"warmup_steps" must be at least 0, not -1.'],
    ['not above', '"learning_rate": 0', '"learning_rate" must be above 0, not 0.'],
    ['too large', '"adam_beta1": 1', '"adam_beta1" must be below 1, not 1.'],
    [
      'one of a few',
      '"optim": "adamW8"',
      '"optim" must be one of "adamw", "adam", "sgd", "adagrad", "adafactor", not the text "adamW8". Did you mean "adamw"?',
    ],
    [
      'parts of gradients nowhere',
      '"offload_param": true, "zero_stage": 2',
      '"zero_stage" must be 0 or 1 where "offload_param" is true, not 2.',
    ],
    [
      'recordings of several',
      '"cuda_graphs": true, "world_size": 2',
      '"cuda_graphs" must be false where "world_size" is above 1, not true.',
    ],
    ['both', '"bf16": true, "fp16": true', '"fp16" must be false where "bf16" is true, not true.'],
    ['device', '"device": "gpu"', '"device" must be "auto", "cpu", "cuda" or "cuda:N", not the text "gpu".'],
    ['inside an object', '"generation": {"prompts": ["a", 3]}', '"generation.prompts.1" must be a text, not 3.'],
    [
      'either of two types',
      '"resume_from_checkpoint": 3',
      '"resume_from_checkpoint" must be true or false or a text, not 3.',
    ],
  ])('%s', async (_, entry, message) => {
    const error = await failure(`{\n  ${minimal},\n  ${entry}\n}`);
    expect(error).toMatchObject({ code: 'recipe_invalid', exitStatus: 2, place: { file, line: 3 } });
    expect(error.message).toContain(`${file}:3:`);
    expect(error.what).toContain(message);
  });

  it('has its place at the value, and at the key where that is unknown', async () => {
    expect((await failure(`{${minimal},\n "seed": "x"}`)).place).toEqual({ file, line: 2, column: 10 });
    expect((await failure(`{${minimal},\n "sead": 1}`)).place).toEqual({ file, line: 2, column: 2 });
  });

  it('says what is wrong inside dataset, not that it might be a text', async () => {
    const error = await failure('{"model": "m",\n"dataset": {"path": "d",\n"test_sise": 2}}');
    expect(error.message).toBe(
      `${file}:3:1: unknown key "dataset.test_sise"; the nearest known one is "dataset.test_size".`,
    );
    expect((await failure('{"model": "m", "dataset": 3}')).what).toBe(
      '"dataset" must be a text or an object in braces, not 3.',
    );
    expect((await failure('{"model": "m", "dataset": {}}')).what).toContain('"dataset.path" is missing');
    expect((await failure('{"model": "m", "dataset": ""}')).what).toBe('"dataset" must not be empty.');
  });

  it('is told whole: the first problem as the message, all of them as data', async () => {
    const error = await failure('{"seed": "x",\n"dataset": "d",\n"foo": 1}');
    expect(error.message).toMatch(/:1:1: "model" is missing.*\(and 2 more: "seed" in line 1, "foo" in line 3\)$/);
    expect(error.data.problems).toMatchObject([
      { line: 1, key: 'model' },
      { line: 1, column: 10, key: 'seed' },
      { line: 3, column: 1, key: 'foo', nearest: expect.any(String) },
    ]);
  });

  it.each([
    ['a missing comma', '{\n"model": "m"\n"dataset": "d"}', 3, 'a comma is missing before this'],
    ['a missing brace', '{"model": "m",\n"dataset": "d"', 2, 'a closing } is missing'],
    ['an open text', '{"model": "m', 1, 'a text is not closed by double quotes'],
    ['single quotes', "{\n'model': 3}", 2, 'a text must stand in double quotes'],
    ['text behind it', '{"model": "m", "dataset": "d"}\n}', 2, 'the recipe ended before this'],
  ])('tells the line of broken JSON: %s', async (_, content, line, message) => {
    const error = await failure(content);
    expect(error).toMatchObject({ code: 'recipe_invalid', place: { file, line } });
    expect(error.what).toContain(message);
  });

  it('does not let the second of two equal keys win in silence', async () => {
    const error = await failure(`{${minimal},\n"seed": 1,\n"seed": 2}`);
    expect(error.message).toBe(`${file}:3:1: "seed" is given twice, first in line 2; remove one.`);
  });

  it.each([
    ['', 'the recipe is empty'],
    ['// nothing', 'the recipe is empty'],
    ['[]', 'a recipe is an object in braces, not a list.'],
    ['"x"', 'a recipe is an object in braces, not the text "x".'],
  ])('is no object: %j', async (content, message) => {
    expect((await failure(content)).what).toContain(message);
  });

  it('is missing, a folder, or not UTF-8', async () => {
    await expect(loadRecipe(join(dir, 'none.json'))).rejects.toMatchObject({ code: 'file_not_found', exitStatus: 2 });
    await expect(loadRecipe(dir)).rejects.toThrow('this is a folder');
    expect(await failure(Buffer.from([0x7b, 0xff, 0x7d]))).toMatchObject({ code: 'encoding_invalid', place: { file } });
  });
});
