/** Every format, in the order in which it is looked for. A new one is a file in this folder and a line here. */
import type { DatasetFormat } from '@protocol/dataset';
import { alpaca } from './alpaca';
import { classification } from './classification';
import type { FormatDef } from './format';
import { messages } from './messages';
import { preference } from './preference';
import { promptCompletion } from './promptCompletion';
import { sharegpt } from './sharegpt';
import { tokenClassification } from './tokenClassification';

/** Those of a fixed shape; `text`, `text-target` and `template` are what a template makes of any columns. */
export const FORMATS: readonly FormatDef[] = [
  preference,
  messages,
  sharegpt,
  alpaca,
  promptCompletion,
  tokenClassification,
  classification,
];

export const formatNamed = (name: DatasetFormat): FormatDef | undefined =>
  FORMATS.find((format) => format.name === name);
