/** A thread that reads data (dist/dataWorker.mjs): what takes long happens here, so that who asks is answered meanwhile. */
import { parentPort } from 'node:worker_threads';
import { indexTask } from './indexTask';
import type { TaskHandlers, TaskName } from './tasks';
import { type FromWorker, type ToWorker, toPlain } from './workerMessages';

const handlers: TaskHandlers = {
  index: indexTask,
};

const running = new Map<number, AbortController>();
const send = (message: FromWorker) => parentPort?.postMessage(message);

async function run<N extends TaskName>(id: number, name: N, params: unknown): Promise<void> {
  const stop = new AbortController();
  running.set(id, stop);
  try {
    const result = await handlers[name](params as never, (piece) => send({ id, type: 'piece', piece }), stop.signal);
    send({ id, type: 'done', result });
  } catch (error) {
    send({ id, type: 'failed', error: toPlain(error) });
  } finally {
    running.delete(id);
  }
}

parentPort?.on('message', (message: ToWorker) => {
  if (message.type === 'cancel') running.get(message.id)?.abort();
  else void run(message.id, message.name as TaskName, message.params);
});
