/** The whole set, gone through by all cores: plans the chunks, hands them out, and puts together what comes back. */
import { availableParallelism } from 'node:os';
import type { DatasetReport } from '@protocol/dataset';
import { openSpec } from '../index/openSpec';
import { DataThread } from '../workers/dataThread';
import type { TaskHandlers, Tasks } from '../workers/tasks';
import { analyseTask, prepareTask } from './analyseTask';
import { ReportMaker } from './reportMaker';
import type { ReportParams } from './reportTypes';

const CHUNK_ROWS = 1_000;
/** Rows of one chunk, where rows are large. */
const CHUNK_BYTES = 4 << 20;
/** A thread is worth its start where it has so much to do. */
const BYTES_A_THREAD = 512 << 10;

/** What a thread can do for a report. */
type RunTask = <N extends 'prepare' | 'analyse'>(name: N, params: Tasks[N]['params']) => Promise<Tasks[N]['result']>;
const HERE: Pick<TaskHandlers, 'prepare' | 'analyse'> = { prepare: prepareTask, analyse: analyseTask };

export const reportTask: TaskHandlers['report'] = async (params, tell, signal): Promise<DatasetReport> =>
  (await gather(params, tell, signal)).finish(signal);

/** Rows of the first file that say what an earlier one of it does. */
export const duplicatesTask: TaskHandlers['duplicates'] = async ({ near, ...params }, tell, signal) =>
  (await gather(params, tell, signal)).duplicateRows(near, signal);

async function gather(
  params: ReportParams,
  tell: (piece: { done: number; total: number }) => void,
  signal: AbortSignal,
): Promise<ReportMaker> {
  const sources = await Promise.all(params.files.map(openSpec));
  const rows = sources.map((source) => source.rows);
  const bytes = sources.reduce((sum, source) => sum + source.bytes, 0);
  const chunks = sources.flatMap((source, file) => {
    const size = Math.max(1, Math.min(CHUNK_ROWS, Math.floor((CHUNK_BYTES * source.rows) / Math.max(1, source.bytes))));
    const step = source.format === 'Parquet' ? 10 * CHUNK_ROWS : size;
    return Array.from({ length: Math.ceil(source.rows / step) }, (_, i) => ({
      file,
      from: i * step,
      count: Math.min(step, source.rows - i * step),
    }));
  });
  await Promise.all(sources.map((source) => source.close()));

  const maker = new ReportMaker(params, rows);
  const total = rows.reduce((a, b) => a + b, 0);
  let done = 0;
  let next = 0;
  tell({ done, total });
  const wanted = Math.min(availableParallelism(), chunks.length, Math.ceil(bytes / BYTES_A_THREAD));
  const stop = new AbortController();
  const either = AbortSignal.any([signal, stop.signal]);
  const goThrough = async (run: RunTask): Promise<void> => {
    await run('prepare', { files: params.files, view: params.view });
    for (;;) {
      const chunk = chunks[next++];
      if (!chunk) return;
      const near = maker.wantsNear(chunk.file, chunk.from, chunk.count);
      maker.take(chunk.file, await run('analyse', { ...chunk, near }));
      done += chunk.count;
      tell({ done, total });
    }
  };
  const work = async (): Promise<void> => {
    const thread = new DataThread();
    try {
      await goThrough((name, task) => thread.run(name, task, { signal: either }));
    } catch (error) {
      stop.abort();
      throw error;
    } finally {
      await thread.close();
    }
  };
  if (wanted <= 1) {
    // This is a thread already.
    await goThrough((name, task) => HERE[name](task as never, () => {}, either) as never);
    return maker;
  }
  const settled = await Promise.allSettled(Array.from({ length: wanted }, work));
  // The one that broke first stopped the others.
  const failures = settled.flatMap((one) => (one.status === 'rejected' ? [one.reason as { code?: string }] : []));
  const failure = failures.find(({ code }) => code !== 'cancelled') ?? failures[0];
  if (failure) throw failure;
  return maker;
}
