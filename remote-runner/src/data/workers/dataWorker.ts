/** A thread that reads data: what takes long happens here, so that who asks is answered meanwhile. */
import { parentPort } from 'node:worker_threads';
import { analyseTask, prepareTask } from '../report/analyseTask';
import { partsTask } from '../report/partsTask';
import { duplicatesTask, reportTask } from '../report/reportTask';
import { indexTask } from './indexTask';
import type { TaskHandlers, TaskName } from './tasks';
import { tokenizeTask } from './tokenizeTask';
import { type FromWorker, type ToWorker, toPlain } from './workerMessages';

const handlers: TaskHandlers = {
  index: indexTask,
  parts: partsTask,
  tokenize: tokenizeTask,
  prepare: prepareTask,
  analyse: analyseTask,
  report: reportTask,
  duplicates: duplicatesTask,
};

const running = new Map<number, AbortController>();
const send = (message: FromWorker) => parentPort?.postMessage(message);

async function run<N extends TaskName>(id: number, name: N, params: unknown): Promise<void> {
  const stop = new AbortController();
  running.set(id, stop);
  try {
    const result = await handlers[name](params as never, (piece) => send({ id, type: 'piece', piece }), stop.signal);
    // Large buffers go over; they are not copied.
    parentPort?.postMessage({ id, type: 'done', result } satisfies FromWorker, buffersOf(result));
  } catch (error) {
    send({ id, type: 'failed', error: toPlain(error) });
  } finally {
    running.delete(id);
  }
}

function buffersOf(result: object | null): ArrayBuffer[] {
  return Object.values(result ?? {}).flatMap((value: unknown) =>
    ArrayBuffer.isView(value) && value.buffer instanceof ArrayBuffer ? [value.buffer] : [],
  );
}

parentPort?.on('message', (message: ToWorker) => {
  if (message.type === 'cancel') running.get(message.id)?.abort();
  else void run(message.id, message.name as TaskName, message.params);
});
