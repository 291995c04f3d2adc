/** The recipes in `examples/`, as they are but for their size: a tiny model of the same architecture, and two steps. */
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { recipeSchema } from '@protocol/recipe';
import type { ModelConfig } from '@runner/hub/modelDir';
import { parse } from 'jsonc-parser';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeRandomModel } from '../support/randomModel';
import { tuneyard } from '../unit/cli/support';

const EXAMPLES = fileURLToPath(new URL('../../examples', import.meta.url));
const VOCABULARY = 400;

/** Of the models that recipes name. */
const CONFIGS: Readonly<Record<string, ModelConfig>> = {
  'openai-community/gpt2': { model_type: 'gpt2', n_embd: 32, n_layer: 2, n_head: 2, n_positions: 1024 },
  'bigscience/bloomz-560m': { model_type: 'bloom', hidden_size: 32, n_layer: 2, n_head: 2 },
  'mistralai/Mistral-7B-v0.1': {
    ...{ model_type: 'mistral', hidden_size: 32, intermediate_size: 48, num_hidden_layers: 2, num_attention_heads: 4 },
    ...{ num_key_value_heads: 2, max_position_embeddings: 1024, rms_norm_eps: 1e-5, sliding_window: null },
  },
};

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tuneyard-examples-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe('every example', async () => {
  const names = (await readdir(EXAMPLES, { withFileTypes: true }))
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name);

  it.each(names)('%s is told of in the list, with a recipe that is right', async (name) => {
    expect(await readFile(join(EXAMPLES, 'README.md'), 'utf8')).toContain(`(${name}/${name}.tune.json)`);
    const text = await readFile(join(EXAMPLES, name, `${name}.tune.json`), 'utf8');
    expect(recipeSchema.safeParse(parse(text)).error).toBeUndefined();
  });

  it.each(names.filter((name) => name !== 'default'))('%s trains, and its model writes', async (name) => {
    const recipe = join(EXAMPLES, name, `${name}.tune.json`);
    const { model, dataset } = parse(await readFile(recipe, 'utf8'));
    const isPacked = dataset.pack === true;
    const changed = {
      model: await writeRandomModel(join(folder, `${name}.model`), { vocab_size: VOCABULARY, ...CONFIGS[model]! }),
      // Words of a tiny vocabulary are long.
      max_length: isPacked ? 64 : 640,
      max_steps: 2,
      eval_steps: 1,
      device: 'cpu',
    };
    const run = join(folder, `${name}.run`);
    const set = Object.entries(changed).flatMap(([key, value]) => ['--set', `${key}=${value}`]);
    expect(await tuneyard(['train', recipe, '--run-dir', run, ...set])).toMatchObject({ status: 0 });
    const events = (await readFile(join(run, 'events.jsonl'), 'utf8'))
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(events.filter(({ type }) => type === 'warning')).toEqual([]);
    expect(events.filter(({ type }) => type === 'eval').length).toBeGreaterThan(0);
    expect(events.filter(({ type }) => type === 'generation').length).toBeGreaterThan(0);
    expect(events.at(-1)).toMatchObject({ type: 'end', status: 'completed', step: 2 });
  });
});
