/** The numbers of a run's log, a column a quantity; a million rows cost what their bytes cost. */
import type { LogEvent } from '@protocol/events';
import type { LogColumns } from './runs';

const NAMES = [
  'step',
  'time',
  'seconds',
  'epoch',
  'tokens_seen',
  'loss',
  'learning_rate',
  'grad_norm',
  'tokens_per_second',
  'memory_bytes',
  'gpu_bytes',
  'gpu_utilization',
] as const;
type Name = (typeof NAMES)[number];

const FIRST_ROWS = 256;

/** Columns that grow. What a getter gives is valid until rows are added. */
export class GrowingColumns implements LogColumns {
  #columns = Object.fromEntries(NAMES.map((name) => [name, new Float64Array(FIRST_ROWS)])) as Record<
    Name,
    Float64Array
  >;
  #length = 0;

  get length(): number {
    return this.#length;
  }
  get step(): Float64Array {
    return this.#columns.step;
  }
  get time(): Float64Array {
    return this.#columns.time;
  }
  get seconds(): Float64Array {
    return this.#columns.seconds;
  }
  get epoch(): Float64Array {
    return this.#columns.epoch;
  }
  get tokens_seen(): Float64Array {
    return this.#columns.tokens_seen;
  }
  get loss(): Float64Array {
    return this.#columns.loss;
  }
  get learning_rate(): Float64Array {
    return this.#columns.learning_rate;
  }
  get grad_norm(): Float64Array {
    return this.#columns.grad_norm;
  }
  get tokens_per_second(): Float64Array {
    return this.#columns.tokens_per_second;
  }
  get memory_bytes(): Float64Array {
    return this.#columns.memory_bytes;
  }
  get gpu_bytes(): Float64Array {
    return this.#columns.gpu_bytes;
  }
  get gpu_utilization(): Float64Array {
    return this.#columns.gpu_utilization;
  }

  /** @param time milliseconds since 1970; @param seconds of training */
  add(event: LogEvent, time: number, seconds: number): void {
    if (this.#length === this.#columns.step.length) this.#grow();
    const row = this.#length++;
    const put = (name: Name, value: number | null | undefined) => {
      // What is not finite JSON has as null.
      this.#columns[name][row] = value ?? Number.NaN;
    };
    put('step', event.step);
    put('time', time);
    put('seconds', seconds);
    put('epoch', event.epoch);
    put('tokens_seen', event.tokens_seen);
    put('loss', event.loss);
    put('learning_rate', event.learning_rate);
    put('grad_norm', event.grad_norm);
    put('tokens_per_second', event.tokens_per_second);
    put('memory_bytes', event.memory_bytes);
    const gpus = event.gpus ?? [];
    put('gpu_bytes', gpus.length > 0 ? gpus.reduce((sum, gpu) => sum + gpu.used_bytes, 0) : undefined);
    put(
      'gpu_utilization',
      gpus.length > 0 ? gpus.reduce((sum, gpu) => sum + gpu.utilization, 0) / gpus.length : undefined,
    );
  }

  /** Takes back the rows behind a step. @returns how many rows are left */
  cutBehind(step: number): number {
    while (this.#length > 0 && this.#columns.step[this.#length - 1]! > step) this.#length--;
    return this.#length;
  }

  #grow(): void {
    for (const name of NAMES) {
      const larger = new Float64Array(this.#length * 2);
      larger.set(this.#columns[name]);
      this.#columns[name] = larger;
    }
  }
}
