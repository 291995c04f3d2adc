/** A thread for data, seen from the one who started it. */
import { Worker } from 'node:worker_threads';
import { TuneyardError } from '@protocol/errors';
import type { TaskName, Tasks } from './tasks';
import { DATA_THREAD, type FromWorker, fromPlain, type ToWorker } from './workerMessages';

interface Waiting {
  piece(piece: never): void;
  resolve(result: never): void;
  reject(error: unknown): void;
}

/** Without it each thread lets 48 MB of garbage gather. */
const LIMITS = { maxYoungGenerationSizeMb: 8 };

export class DataThread {
  readonly #worker: Worker;
  readonly #waiting = new Map<number, Waiting>();
  #next = 0;
  #ended: TuneyardError | undefined;

  constructor() {
    this.#worker = startWorker();
    this.#worker.on('message', (message: FromWorker) => {
      const waiting = this.#waiting.get(message.id);
      if (message.type === 'piece') {
        waiting?.piece(message.piece as never);
        return;
      }
      this.#waiting.delete(message.id);
      if (message.type === 'done') waiting?.resolve(message.result as never);
      else waiting?.reject(fromPlain(message.error));
    });
    this.#worker.on('error', (error) => {
      const isMemory = 'code' in error && error.code === 'ERR_WORKER_OUT_OF_MEMORY';
      const why = isMemory ? 'there is too little memory for it' : error.message;
      this.#end(new TuneyardError(isMemory ? 'out_of_memory' : 'internal', `reading the data broke down: ${why}.`));
    });
    this.#worker.on('exit', () => this.#end(new TuneyardError('cancelled', 'cancelled.')));
    // It is at work for somebody who waits, or not at all.
    this.#worker.unref();
  }

  /** How many tasks it has. */
  get load(): number {
    return this.#waiting.size;
  }

  /** @throws TuneyardError what the task threw; `cancelled` */
  async run<N extends TaskName>(
    name: N,
    params: Tasks[N]['params'],
    { onPiece, signal }: { onPiece?: (piece: Tasks[N]['piece']) => void; signal?: AbortSignal | undefined } = {},
  ): Promise<Tasks[N]['result']> {
    if (this.#ended) throw this.#ended;
    if (signal?.aborted) throw new TuneyardError('cancelled', 'cancelled.');
    const id = this.#next++;
    const cancel = () => this.#post({ type: 'cancel', id });
    signal?.addEventListener('abort', cancel, { once: true });
    this.#worker.ref();
    try {
      return await new Promise<Tasks[N]['result']>((resolve, reject) => {
        this.#waiting.set(id, { piece: (piece) => onPiece?.(piece), resolve, reject });
        this.#post({ type: 'run', id, name, params });
      });
    } finally {
      signal?.removeEventListener('abort', cancel);
      if (this.#waiting.size === 0) this.#worker.unref();
    }
  }

  async close(): Promise<void> {
    await this.#worker.terminate();
  }

  #post(message: ToWorker): void {
    this.#worker.postMessage(message);
  }

  #end(error: TuneyardError): void {
    this.#ended ??= error;
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }
}

/** The runner's own bundle, told to be a thread; from sources it is the source, which Node reads with the help of tsx. */
function startWorker(): Worker {
  if (!import.meta.url.endsWith('.ts'))
    return new Worker(new URL(import.meta.url), { resourceLimits: LIMITS, workerData: DATA_THREAD });
  const source = new URL('./dataWorker.ts', import.meta.url).href;
  const start = `import('tsx/esm/api').then(({ register }) => { register(); return import(${JSON.stringify(source)}); })`;
  return new Worker(start, { eval: true });
}
