/** What a row is. Detected by its columns, and what a recipe's `dataset.format` says. */
export const DATASET_FORMATS = [
  'text',
  'text-target',
  'alpaca',
  'messages',
  'sharegpt',
  'prompt-completion',
  'preference',
  'classification',
  'token-classification',
  'template',
] as const;
export type DatasetFormat = (typeof DATASET_FORMATS)[number];
