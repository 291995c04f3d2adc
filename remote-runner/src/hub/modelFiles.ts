/** Which files of a Hugging Face model directory or repository Tuneyard reads, copies and refuses. */
import { TuneyardError } from '@protocol/errors';

export const CONFIG_FILE = 'config.json';
export const GENERATION_CONFIG_FILE = 'generation_config.json';
export const WEIGHTS_FILE = 'model.safetensors';
/** PEFT's. */
export const ADAPTER_CONFIG_FILE = 'adapter_config.json';
export const ADAPTER_WEIGHTS_FILE = 'adapter_model.safetensors';
export const WEIGHTS_INDEX_FILE = 'model.safetensors.index.json';

/** Whatever a tokenizer of transformers may consist of; all are small, and each model has some. */
export const TOKENIZER_FILES: readonly string[] = [
  'tokenizer.json',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'added_tokens.json',
  'vocab.json',
  'merges.txt',
  'vocab.txt',
  'tokenizer.model',
  'spiece.model',
  'chat_template.jinja',
  'chat_template.json',
];

/** Pickles that transformers' Trainer leaves beside a model and that hold no weights. */
const OTHER_PICKLES = /^(training_args\.bin|optimizer\.(pt|bin)|scheduler\.(pt|bin)|rng_state.*\.pth|scaler\.pt)$/;

/** Those of the files that hold weights as a Python pickle. */
export function pickledWeights(files: readonly string[]): string[] {
  return files.filter((file) => /\.(bin|pt|pth|ckpt|pkl|pickle)$/i.test(file) && !OTHER_PICKLES.test(file));
}

/** Whether a name from outside (an index, a hub's listing) is a plain file name that cannot lead out of a folder. */
export function isPlainFileName(name: string): boolean {
  return /^[\w][\w.+-]*$/.test(name);
}

/** Why pickled weights are refused, and what to do instead. */
export function pickledError(where: string, files: readonly string[]): TuneyardError {
  return new TuneyardError(
    'weights_pickled',
    `the weights here are pickled (${files.slice(0, 3).join(', ')}), and reading a pickle runs whatever code is in it, so Tuneyard does not; use a model with safetensors weights, or convert this one with transformers’ save_pretrained().`,
    { place: { file: where }, data: { files: [...files] } },
  );
}
