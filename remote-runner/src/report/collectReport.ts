/** Reads a run directory and brings its events into the shape that the report draws. */
import { createReadStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { createInterface } from 'node:readline';
import { TuneyardError } from '@protocol/errors';
import type { EndEvent, GenerationEvent, RunEvent, StartEvent } from '@protocol/events';
import type { ReportData } from '@protocol/report';
import { drawLog, type TimedLog } from './drawLog';

/**
 * What happened in a run.
 *
 * @param runDir a run directory; `events.jsonl` may be growing, and its last line may be half written
 * @throws TuneyardError `run_not_found` where there is no `events.jsonl`
 */
export async function collectReport(runDir: string): Promise<ReportData> {
  const history = new History();
  for await (const event of events(join(runDir, 'events.jsonl'))) history.add(event);
  return history.report(basename(runDir), await recipe(join(runDir, 'recipe.json')));
}

async function* events(file: string): AsyncGenerator<RunEvent> {
  const lines = createInterface({ input: createReadStream(file, 'utf8'), crlfDelay: Number.POSITIVE_INFINITY });
  try {
    for await (const line of lines) {
      const event = parseEvent(line);
      if (event) yield event;
    }
  } catch (cause) {
    throw new TuneyardError('run_not_found', 'there are no events to report on; give the directory of a run.', {
      place: { file },
      cause,
    });
  }
}

/** A crash leaves half a line behind, and a newer runner may write types unknown here: both are passed over. */
function parseEvent(line: string): RunEvent | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null && 'type' in value ? (value as RunEvent) : undefined;
  } catch {
    return undefined;
  }
}

async function recipe(file: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(file, 'utf8'));
  } catch {
    // The curves are worth showing without it.
    return null;
  }
}

/** The events of a run, with what a resume took back taken back. */
class History {
  #start: StartEvent | undefined;
  #end: EndEvent | undefined;
  #started: string | undefined;
  #resumes = -1;
  #step = 0;
  /** Seconds of work before the last start, and since when that runs. */
  #worked = 0;
  #since = 0;
  #last = 0;
  #log: TimedLog[] = [];
  #evals: ReportData['evals'] = [];
  #checkpoints: ReportData['checkpoints'] = [];
  #warnings: ReportData['warnings'] = [];
  #generations: GenerationEvent[] = [];

  add(event: RunEvent): void {
    const time = Date.parse(event.time);
    if (event.type === 'start') this.#begin(event, time);
    this.#last = time;
    switch (event.type) {
      case 'log':
        this.#log.push({ ...event, seconds: this.#seconds });
        break;
      case 'eval':
        this.#evals.push({
          ...{ step: event.step, eval_loss: event.eval_loss, best: false },
          ...(event.eval_accuracy !== undefined && { eval_accuracy: event.eval_accuracy }),
        });
        if (event.best)
          this.#evals.forEach((item, i, all) => {
            item.best = i === all.length - 1;
          });
        break;
      case 'checkpoint':
        this.#checkpoints.push({ step: event.step, path: event.path });
        break;
      case 'generation':
        this.#generations.push(event);
        break;
      case 'warning':
        this.#warnings.push({ step: event.step, message: event.message });
        break;
      case 'end':
        this.#end = event;
        break;
    }
    if (typeof event.step === 'number') this.#step = event.step;
  }

  /** A resumed run makes the steps behind its checkpoint again: what was written about them no longer holds. */
  #begin(event: StartEvent & { time: string }, time: number): void {
    this.#worked = this.#seconds;
    this.#since = time;
    this.#started ??= event.time;
    this.#resumes += 1;
    this.#start = event;
    this.#end = undefined;
    const holds = ({ step }: { step: number }) => step <= event.step;
    this.#log = this.#log.filter(holds);
    this.#evals = this.#evals.filter(holds);
    this.#checkpoints = this.#checkpoints.filter(holds);
    this.#generations = this.#generations.filter(holds);
  }

  get #seconds(): number {
    return this.#worked + Math.max(0, this.#last - this.#since) / 1000;
  }

  report(run: string, recipe: unknown): ReportData {
    const { log, log_events } = drawLog(this.#log);
    return {
      run: this.#start?.run ?? run,
      model: this.#start?.model ?? '',
      method: this.#start?.method ?? '',
      device: this.#start?.device ?? '',
      device_reason: this.#start?.device_reason ?? '',
      parameters: this.#start?.parameters ?? 0,
      trainable_parameters: this.#start?.trainable_parameters ?? 0,
      train_samples: this.#start?.train_samples ?? 0,
      eval_samples: this.#start?.eval_samples ?? 0,
      status: this.#end?.status ?? 'unfinished',
      message: this.#end?.message,
      started: this.#started,
      seconds: this.#seconds,
      resumes: Math.max(0, this.#resumes),
      step: this.#step,
      total_steps: this.#start?.total_steps ?? 0,
      model_path: this.#end?.model_path,
      log,
      log_events,
      evals: this.#evals,
      checkpoints: this.#checkpoints,
      warnings: this.#warnings,
      generations: beforeAndAfter(this.#generations),
      recipe,
    };
  }
}

/** For each prompt what the base model wrote (step 0) and what the last weights wrote. */
function beforeAndAfter(generations: GenerationEvent[]): ReportData['generations'] {
  const rows = new Map<string, ReportData['generations'][number]>();
  for (const { prompt, step, text, weights } of generations) {
    const row = rows.get(prompt) ?? { prompt };
    rows.set(prompt, row);
    if (step === 0) row.base = { step, text, weights };
    else if (step >= (row.tuned?.step ?? 0)) row.tuned = { step, text, weights };
  }
  return [...rows.values()];
}
