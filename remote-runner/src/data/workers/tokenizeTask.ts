import { setImmediate } from 'node:timers/promises';
import { TuneyardError } from '@protocol/errors';
import { tokenizeOptions, tokenizeRows } from '../dataset';
import { loadTokenizer, type Tokenizer } from '../tokenizer';
import { pack } from './packedSamples';
import type { TaskHandlers } from './tasks';

let known: { dir: string; tokenizer: Promise<Tokenizer> } | undefined;

export const tokenizeTask: TaskHandlers['tokenize'] = async ({ dir, data, recipe, maxLength, rows }, _, signal) => {
  if (known?.dir !== dir) known = { dir, tokenizer: loadTokenizer(dir) };
  const tokenizer = await known.tokenizer;
  await setImmediate();
  if (signal.aborted) throw new TuneyardError('cancelled', 'reading the data was cancelled.');
  const options = tokenizeOptions({ ...data, rows: [] }, recipe, { tokenizer, maxLength });
  const { samples, errors } = await tokenizeRows(rows, options, signal);
  return pack(samples, errors);
};
