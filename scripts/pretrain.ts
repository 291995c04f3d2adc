/**
 * Makes the embedded model: a byte-level BPE vocabulary of 4,096 tokens and a GPT-Neo of 2.6 M weights, both from the
 * text of Moby-Dick, with this runner. Takes some twenty minutes on two cores.
 *
 * usage: npx tsx scripts/pretrain.ts [WORK_DIR]     writes examples/default/model
 */
import { cp, mkdir, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { trainBpe } from '@runner/data/bpe';
import { trainJob } from '@runner/jobs/trainJob';
import { gptNeo } from '@runner/models/gptNeo';
import { initializeParameters } from '@runner/models/initialize';
import { loadRecipe } from '@runner/recipe/loadRecipe';
import { writeModelDir } from '@runner/train/checkpoint';
import { mobyDick } from './pretrainText';

const END_OF_TEXT = '<|endoftext|>';
const VOCABULARY = 4096;
const example = resolve(import.meta.dirname, '../examples/default');
const work = resolve(process.argv[2] ?? join(example, '.pretrain'));

const text = mobyDick();
const source = join(work, 'source');
await rm(work, { recursive: true, force: true });
await mkdir(source, { recursive: true });
await writeFile(join(work, 'moby-dick.txt'), text);
await writeFile(
  join(source, 'tokenizer.json'),
  JSON.stringify(trainBpe(text, { vocabSize: VOCABULARY, specialTokens: [END_OF_TEXT] })),
);
await writeFile(
  join(source, 'tokenizer_config.json'),
  `${JSON.stringify({ tokenizer_class: 'PreTrainedTokenizerFast', bos_token: END_OF_TEXT, eos_token: END_OF_TEXT, unk_token: END_OF_TEXT, model_max_length: 256 }, null, 2)}\n`,
);
const config = {
  architectures: ['GPTNeoForCausalLM'],
  model_type: 'gpt_neo',
  activation_function: 'gelu_new',
  attention_dropout: 0,
  attention_types: [[['global', 'local'], 2]],
  bos_token_id: 0,
  embed_dropout: 0,
  eos_token_id: 0,
  hidden_size: 192,
  initializer_range: 0.06,
  intermediate_size: null,
  layer_norm_epsilon: 1e-5,
  max_position_embeddings: 256,
  num_heads: 8,
  num_layers: 4,
  resid_dropout: 0,
  tie_word_embeddings: true,
  vocab_size: VOCABULARY,
  window_size: 64,
};
const parameters = initializeParameters(gptNeo.parse(config, 'config.json'), 1);
const weights = parameters.layout.tensors.map(({ name, shape }) => ({ name, shape, data: parameters.slice(name) }));
await writeModelDir({ dir: join(work, 'fresh'), sourceDir: source, config, weights });

await cp(join(example, 'pretrain.tune.json'), join(work, 'pretrain.tune.json'));
const loaded = await loadRecipe(join(work, 'pretrain.tune.json'));
const runDir = join(work, 'run');
await mkdir(runDir);
const result = await trainJob({
  ...loaded,
  runId: 'pretrain',
  runDir,
  emit: (event) => process.stdout.write(`${JSON.stringify(event)}\n`),
});
if (!result.model_path) throw new Error(`pretraining ended as ${result.status}`);
await rm(join(example, 'model'), { recursive: true, force: true });
await cp(result.model_path, join(example, 'model'), { recursive: true });
