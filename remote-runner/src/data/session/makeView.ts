import { wordTokenizer } from '../../cli/wordTokenizer';
import { SampleView } from './sampleView';
import { sessionModel } from './sessionModel';
import type { ViewSpec } from './viewSpec';

export async function makeView({ model, ...options }: ViewSpec): Promise<SampleView> {
  const tokenizer = model === undefined ? wordTokenizer() : (await sessionModel(model)).tokenizer;
  return new SampleView({ ...options, tokenizer });
}
