/**
 * The thread that graphs are run on. A run is a blocking call, so it cannot be on the thread of the event loop; and the
 * one who calls takes part in the computing, so it cannot be on a thread of libuv's pool either: those compute with
 * denormals, where ONNX Runtime's own threads take them for zero, and the result would depend on who came first.
 */
import { createRequire } from 'node:module';
import { Worker } from 'node:worker_threads';

/** Fetches the floating-point environment, switches denormals off in it and puts it back (C99's fenv.h, System V and Apple layouts). */
const THREAD = `
const { parentPort, workerData } = require('node:worker_threads');
const koffi = require(workerData.koffi);

const environment = new DataView(new ArrayBuffer(64));
const place = { 'linux-x64': [28, 0x8040], 'linux-arm64': [0, 1 << 24], 'darwin-x64': [4, 0x8040], 'darwin-arm64': [8, 1 << 24] };
const [offset, bits] = place[process.platform + '-' + process.arch];
const library = koffi.load(null);
const bytes = new Uint8Array(environment.buffer);
library.func('fegetenv', 'int', ['void*'])(bytes);
environment.setUint32(offset, environment.getUint32(offset, true) | bits, true);
library.func('fesetenv', 'int', ['void*'])(bytes);

const run = koffi.decode(workerData.run, koffi.proto('void*', ['void*', 'void*', 'void*']));
parentPort.on('message', ([session, options, binding]) => parentPort.postMessage(run(session, options, binding)));
`;

interface Waiting {
  resolve(status: bigint | null): void;
  reject(error: Error): void;
}

export class RunThread {
  readonly #worker: Worker;
  /** In the order of the calls, which is that of the answers. */
  readonly #waiting: Waiting[] = [];
  #ended: Error | undefined;

  /** @param run address of RunWithBinding */
  constructor(run: bigint) {
    const koffi = createRequire(import.meta.url).resolve('koffi');
    this.#worker = new Worker(THREAD, {
      eval: true,
      workerData: { koffi, run },
      resourceLimits: { maxYoungGenerationSizeMb: 1 },
    });
    this.#worker.on('message', (status: bigint | null) => this.#waiting.shift()?.resolve(status));
    this.#worker.on('error', (error) => this.#end(error));
    this.#worker.on('exit', () => this.#end(new Error('the thread that computes has ended')));
    // It is at work for somebody who waits, or not at all.
    this.#worker.unref();
  }

  /** @returns the call's status */
  async run(session: bigint, options: bigint, binding: bigint): Promise<bigint | null> {
    if (this.#ended) throw this.#ended;
    this.#worker.ref();
    try {
      return await new Promise<bigint | null>((resolve, reject) => {
        this.#waiting.push({ resolve, reject });
        this.#worker.postMessage([session, options, binding]);
      });
    } finally {
      if (this.#waiting.length === 0) this.#worker.unref();
    }
  }

  #end(error: Error): void {
    this.#ended ??= error;
    for (const { reject } of this.#waiting.splice(0)) reject(error);
  }
}
