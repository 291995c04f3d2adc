import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { requireBoolean, requireInt, requireNumber, requireString } from '@runner/hub/configValues';
import { openModelDir } from '@runner/hub/modelDir';
import { saveSafetensors } from '@runner/hub/saveSafetensors';
import { describe, expect, it } from 'vitest';
import { failure, temporaryFolders } from './support';

const folder = temporaryFolders();

async function model(files: Record<string, string>): Promise<string> {
  const dir = await folder();
  await saveSafetensors(join(dir, 'model.safetensors'), [{ name: 'a', shape: [1], data: new Float32Array(1) }]);
  for (const [name, text] of Object.entries(files)) await writeFile(join(dir, name), text);
  return dir;
}

describe('a model folder', () => {
  it('opens with its config, weights and generation config', async () => {
    const dir = await model({
      'config.json': '{"model_type":"gpt2","n_layer":2}',
      'generation_config.json': '{"eos_token_id":5}',
    });
    const opened = await openModelDir(dir);
    expect(opened.config).toEqual({ model_type: 'gpt2', n_layer: 2 });
    expect(opened.generationConfig).toEqual({ eos_token_id: 5 });
    expect(opened.weights.names()).toEqual(['a']);
  });

  it('opens without a generation config', async () => {
    expect((await openModelDir(await model({ 'config.json': '{"model_type":"x"}' }))).generationConfig).toBeUndefined();
  });

  const bad: [string, Record<string, string>, RegExp][] = [
    ['without a config', {}, /config\.json is missing/],
    ['with a broken config', { 'config.json': '{"model_type":' }, /config\.json: is not JSON/],
    ['with a config that is a list', { 'config.json': '[]' }, /not a JSON object/],
    ['without a model type', { 'config.json': '{}' }, /"model_type"/],
    [
      'with a broken generation config',
      { 'config.json': '{"model_type":"x"}', 'generation_config.json': '' },
      /generation_config\.json/,
    ],
  ];
  it.each(bad)('%s is refused, with the file named', async (_name, files, message) => {
    const error = await failure(openModelDir(await model(files)));
    expect(error.code).toBe('model_invalid');
    expect(error.message).toMatch(message);
  });

  it('that does not exist is said not to', async () => {
    expect((await failure(openModelDir(join(await folder(), 'gone')))).code).toBe('file_not_found');
  });
});

describe('the numbers of a config', () => {
  const config = { model_type: 'gpt2', n: 4, eps: 1e-5, act: 'gelu', tie: false, half: 0.5, none: null };

  it('are read, with defaults only where the key is absent or null', () => {
    expect(requireInt(config, 'n', 'c')).toBe(4);
    expect(requireInt(config, 'none', 'c', 7)).toBe(7);
    expect(requireNumber(config, 'eps', 'c', 1)).toBe(1e-5);
    expect(requireString(config, 'act', 'c', 'relu')).toBe('gelu');
    expect(requireBoolean(config, 'tie', 'c', true)).toBe(false);
  });

  it('that are missing or of another kind are named with the file', () => {
    expect(() => requireInt(config, 'n_layer', 'c.json')).toThrow(
      'c.json: "n_layer" is missing, where a gpt2 model needs a whole number.',
    );
    expect(() => requireInt(config, 'half', 'c.json')).toThrow('"half" is 0.5');
    expect(() => requireInt(config, 'act', 'c.json', 3)).toThrow('"act" is "gelu"');
    expect(() => requireNumber(config, 'act', 'c.json')).toThrow('a number');
    expect(() => requireString(config, 'n', 'c.json')).toThrow('a string');
    expect(() => requireBoolean(config, 'n', 'c.json')).toThrow('true or false');
  });
});
