import { setImmediate } from 'node:timers/promises';
import { TuneyardError } from '@protocol/errors';
import { openSpec } from '../index/openSpec';
import type { RowSource } from '../index/rowSource';
import { makeView } from '../session/makeView';
import type { SampleView } from '../session/sampleView';
import { collectGarbage } from '../workers/collectGarbage';
import type { TaskHandlers } from '../workers/tasks';
import { analyseRows } from './chunkFacts';

/** What this thread was told once. */
let setup: { sources: RowSource[]; view: SampleView; maxLength: number } | undefined;

/** Once a thread: what its chunks have in common. */
export const prepareTask: TaskHandlers['prepare'] = async ({ files, view }) => {
  await Promise.all(setup?.sources.map((source) => source.close()) ?? []);
  setup = { sources: await Promise.all(files.map(openSpec)), view: await makeView(view), maxLength: view.maxLength };
  return null;
};

export const analyseTask: TaskHandlers['analyse'] = async ({ file, from, count, near }, _, signal) => {
  const source = setup?.sources[file];
  if (!setup || !source) throw new TuneyardError('internal', 'the thread was not prepared.');
  // A cancellation may be waiting.
  await setImmediate();
  const rows = await source.read(from, count, signal);
  const facts = analyseRows(rows, setup.view, { path: source.path, maxLength: setup.maxLength, near, signal });
  collectGarbage();
  return facts;
};
