/** A small model, data and a recipe in a folder, for trainings on several ranks. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gpt2 } from '@runner/models/gpt2';
import { initializeParameters } from '@runner/models/initialize';
import { writeModelDir } from '@runner/train/checkpoint';
import { sourceFolder } from '../unit/decode/namedModel';

const CONFIG = { model_type: 'gpt2', vocab_size: 290, n_embd: 48, n_layer: 2, n_head: 3, n_positions: 64 };

/** Writes `r.tune.json` and what it names. */
export async function writeRanksModel(dir: string, rows: number): Promise<void> {
  const parameters = initializeParameters(gpt2.parse(CONFIG, 'config.json'), 3);
  const weights = parameters.layout.tensors.map(({ name, shape }) => ({ name, shape, data: parameters.slice(name) }));
  const sourceDir = await sourceFolder(join(dir, 'source'));
  await writeModelDir({ dir: join(dir, 'model'), sourceDir, config: CONFIG, weights });
  // Some have many supervised tokens, some one: a mean of the ranks' means would be wrong.
  const samples = Array.from({ length: rows }, (_, i) => ({
    text: `the mage ${i} of the north`,
    target: ' and the sword of the south'.repeat(i % 5 === 0 ? 3 : 1).slice(0, i % 3 === 0 ? 4 : undefined),
  }));
  await writeFile(join(dir, 'data.jsonl'), samples.map((row) => `${JSON.stringify(row)}\n`).join(''));
  const recipe = {
    model: './model',
    dataset: { path: './data.jsonl', test_size: 0.2 },
    max_length: 64,
    num_train_epochs: 2,
    learning_rate: 5e-3,
    per_device_train_batch_size: 2,
    per_device_eval_batch_size: 2,
    logging_steps: 1,
    eval_strategy: 'epoch',
    save_strategy: 'epoch',
    device: 'cpu',
  };
  await writeFile(join(dir, 'r.tune.json'), JSON.stringify(recipe));
}
