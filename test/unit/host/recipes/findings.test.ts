import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findingOf, memoryFinding, missingFiles } from '@host/recipes/findings';
import { hostMemory } from '@host/recipes/hostMemory';
import { parseRecipe } from '@host/recipes/recipeText';
import { TuneyardError } from '@protocol/errors';
import type { Estimate } from '@protocol/runner';
import type { HostStatus } from '@protocol/serve';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'tuneyard-findings-'));
  await writeFile(join(dir, 'data.jsonl'), '');
  await mkdir(join(dir, 'model'));
});
afterAll(() => rm(dir, { recursive: true }));

const missing = async (recipe: Record<string, unknown>) =>
  (await missingFiles(recipe, dir)).map(({ key, message }) => [key.join('.'), message]);

describe('files that a recipe names', () => {
  it('are all found, and a name on the hub is no file', async () => {
    expect(await missing({ model: './model', dataset: './data.jsonl' })).toEqual([]);
    expect(await missing({ model: 'openai-community/gpt2', dataset: { path: 'data.jsonl' } })).toEqual([]);
  });

  it('are reported at their key, each with its whole path', async () => {
    expect(await missing({ model: './modle', dataset: { path: './dta.jsonl', test_path: './test.csv' } })).toEqual([
      ['dataset.path', `There is no file ${dir}/dta.jsonl.`],
      ['dataset.test_path', `There is no file ${dir}/test.csv.`],
      ['model', `There is no model folder ${dir}/modle.`],
    ]);
  });

  it('must be a file for data and a folder for a model', async () => {
    expect(await missing({ model: './data.jsonl', dataset: './model' })).toEqual([
      ['dataset', expect.stringContaining('is a folder')],
      ['model', expect.stringContaining('is a file')],
    ]);
  });
});

describe('what the runner says of a recipe', () => {
  const place = (code: ConstructorParameters<typeof TuneyardError>[0], recipe: object, data = {}) =>
    findingOf(new TuneyardError(code, 'it is wrong.', { data }), recipe as Record<string, unknown>)?.key.join('.');

  it('stands at the key it is about', () => {
    expect(place('column_missing', { dataset: 'x' })).toBe('dataset');
    expect(place('column_missing', { dataset: { path: 'x', template: '{q}' } }, { column: 'q' })).toBe(
      'dataset.template',
    );
    expect(place('column_missing', { dataset: { path: 'x', target_column: 'a', template: '' } }, { column: 'a' })).toBe(
      'dataset.target_column',
    );
    expect(place('weights_pickled', { model: 'x' })).toBe('model');
    expect(place('recipe_invalid', {}, { key: 'generation.top_k' })).toBe('generation.top_k');
    expect(place('device_unavailable', { device: 'cuda' })).toBe('device');
    expect(place('out_of_memory', { max_length: 8, model: 'x' })).toBe('max_length');
  });

  it('names the line of the data that is to blame', () => {
    const error = new TuneyardError('dataset_invalid', 'the row is empty', { place: { file: '/d/a.jsonl', line: 7 } });
    expect(findingOf(error, { dataset: 'a.jsonl' })?.message).toBe('The row is empty (/d/a.jsonl:7)');
  });

  it('is not pinned on the recipe where the recipe is not to blame', () => {
    expect(place('disk_full', {})).toBeUndefined();
    expect(place('connection_lost', {})).toBeUndefined();
  });
});

describe('memory', () => {
  const estimate = { peak_bytes: 10e9, process_bytes: 1e9 } as Estimate;
  const gpu = { index: 0, name: 'L4', memory_bytes: 24e9, used_bytes: 14.5e9, utilization: 0 };
  const status = { device: 'cuda:0', gpus: [gpu], free_memory_bytes: 64e9 } as HostStatus;

  it('that is too little is a warning with both numbers, where it can be changed', () => {
    const full = hostMemory('gpu-1', { ...status, gpus: [{ ...gpu, used_bytes: 20e9 }] });
    expect(memoryFinding(estimate, full, { per_device_train_batch_size: 8 })).toMatchObject({
      key: ['per_device_train_batch_size'],
      severity: 'warning',
      message: expect.stringMatching(/needs 9 GB .*gpu-1 has 4 GB free/),
    });
  });

  it('of a GPU has to hold the run but not its process; that of a CPU both', () => {
    expect(memoryFinding(estimate, hostMemory('gpu-1', status), {})).toBeUndefined();
    const cpu = hostMemory('pc', { ...status, device: 'cpu', free_memory_bytes: 9.5e9 });
    expect(memoryFinding(estimate, cpu, {})).toBeDefined();
  });
});

describe('the place of a key in the text', () => {
  const text = '{\n  // data\n  "dataset": { "path": "./a" },\n  "model": "m",\n}';
  const cut = (path: string[], part?: 'key' | 'value') => {
    const { offset, length } = parseRecipe(text).spanOf(path, part);
    return text.slice(offset, offset + length);
  };
  it('is its value, its name, or of an object its name', () => {
    expect(cut(['model'])).toBe('"m"');
    expect(cut(['model'], 'key')).toBe('"model"');
    expect(cut(['dataset', 'path'])).toBe('"./a"');
    expect(cut(['dataset'])).toBe('"dataset"');
  });
  it('is the nearest parent where the key is not there', () => {
    expect(cut(['dataset', 'template'])).toBe('"dataset"');
    expect(cut(['nothing'])).toBe('{');
  });
  it('is found in a text that is being typed', () => {
    const half = '{ "model": "m", "dataset": ';
    const { value, isSound, spanOf } = parseRecipe(half);
    expect([value?.model, isSound, spanOf(['model']).offset]).toEqual(['m', false, half.indexOf('"m"')]);
  });
});
