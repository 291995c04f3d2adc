/**
 * The same job here and under transformers' Trainer, random weights, AdamW, the same samples in the same order:
 *
 *   padded       TinyStories-33M's shape, batches of 8 samples of 128 tokens
 *   backstories  the same shape, 8 of the example's samples as they are: Trainer pads to the longest of a batch; we compute
 *                real tokens and supervised positions only
 *   gpt2         GPT-2 124M, 16 samples of 1,024 tokens; only where it is asked for, or on a GPU
 *
 * The two take turns, each in a process of its own; Trainer also with torch.compile where that is asked for.
 *
 * usage: npm run bench -- peer [--peer PYTHON] [--compile] [--cuda] [--bf16] [--only NAME] [--steps N] [--rounds N]
 * PYTHON has torch and transformers.
 */
import { join, resolve } from 'node:path';
import { loadDataset } from '@runner/data/dataset';
import { loadTokenizer } from '@runner/data/tokenizer';
import { gpt } from '../test/support/randomModel';
import { compare, fullSamples, options, steps } from './lib/peers';
import { TINY_STORIES_33M } from './lib/tinyStories33M';

/** Without dropout, which each side would draw for itself. */
const GPT2_124M = { ...gpt(12, 768), resid_pdrop: 0, embd_pdrop: 0, attn_pdrop: 0 };
const example = resolve(import.meta.dirname, '../examples/default');
const tokenizer = await loadTokenizer(join(example, 'model'));
const data = await loadDataset(join(example, 'backstories.jsonl'), {
  tokenizer,
  maxLength: 512,
  seed: 42,
  baseDir: example,
});
const stories = data.train
  .slice(0, 8 * steps)
  .map(({ inputIds, labels }) => ({ input_ids: [...inputIds], labels: [...labels] }));
const jobs = {
  padded: { config: TINY_STORIES_33M, batch: 8, samples: () => fullSamples(8, 128), pad: 'max' },
  backstories: { config: TINY_STORIES_33M, batch: 8, samples: () => stories, pad: 'longest' },
  gpt2: { config: GPT2_124M, batch: 16, samples: () => fullSamples(16, 1024), pad: 'max' },
} as const;
await compare('peer', jobs, options.cuda ? Object.keys(jobs) : ['padded', 'backstories']);
