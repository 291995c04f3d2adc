import { basename, join } from 'node:path';
import { TuneyardError } from '@protocol/errors';
import type { RunEvent, RunEventBody } from '@protocol/events';
import type { TrainResult } from '@protocol/runner';
import { Command } from 'commander';
import { asTuneyardError } from '../asTuneyardError';
import { type CliContext, openOutput, type SharedOptions, withSharedOptions } from '../context';
import { shellWord } from '../format';
import { listenForInterrupts } from '../interrupts';
import type { Output } from '../output';
import { TrainView } from '../render/trainView';

interface TrainOptions extends SharedOptions {
  runDir?: string;
  resume?: boolean;
}

export function trainCommand(context: CliContext): Command {
  const command = new Command('train')
    .description('train a model by a recipe')
    .argument('<recipe>', 'recipe file (*.tune.json)')
    .option(
      '--run-dir <dir>',
      'folder for the run (default: a new one in ~/.tuneyard/runs); with --resume also a run’s id',
    )
    .option('--resume', 'go on from the last checkpoint in the run directory')
    .option('--quiet', 'show only warnings and what came out')
    .addHelpText(
      'after',
      '\nCtrl-C (or SIGTERM) stops at the end of the step, with a checkpoint; a second one stops at once.\nA terminal that goes away does not stop a run.',
    )
    .action((recipe: string, options: TrainOptions) => train(context, recipe, options));
  return withSharedOptions(command);
}

async function train(context: CliContext, recipeFile: string, options: TrainOptions): Promise<void> {
  const output = openOutput(context, options);
  const { loadRecipe } = await import('../../recipe/loadRecipe');
  const { createRun, openRun, writeRecipe } = await import('../../runs/runDir');
  const { acquireLock } = await import('../../runs/runLock');
  const { openEventLog } = await import('../../runs/eventLog');
  const { RunLog } = await import('../../runs/runLog');

  const loaded = await loadRecipe(recipeFile, options.set);
  const { recipe } = loaded;
  if (options.resume && recipe.resume_from_checkpoint === false) recipe.resume_from_checkpoint = true;
  if (recipe.resume_from_checkpoint === true && options.runDir === undefined) {
    throw new TuneyardError('usage', 'which run shall go on? Name it with --run-dir; "tuneyard runs" lists them.');
  }

  const run = options.resume
    ? await openRun(options.runDir!)
    : await createRun({
        name: basename(recipeFile).replace(/(\.tune)?\.jsonc?$/, ''),
        ...(options.runDir === undefined ? {} : { runDir: options.runDir }),
      });
  const lock = await acquireLock(run.dir);
  try {
    const log = await openEventLog(run.dir);
    output.log = new RunLog(join(run.dir, 'runner.log'));
    const record = new RunRecord(output, new TrainView(output, run.dir), (body) => log.append(body));
    const interrupts = listenForInterrupts({
      first: () => output.message('Stopping at the end of this step. Once more to stop at once.'),
      second: () => record.end({ status: 'failed', code: 'cancelled', message: 'the run was ended at once, by hand.' }),
    });
    const hangUp = () => output.log?.write('The terminal went away; the run goes on.');
    process.on('SIGHUP', hangUp);
    try {
      await writeRecipe(run.dir, recipe);
      output.data({ type: 'run', run: run.id, run_dir: run.dir });
      const { trainJob } = await import('../../jobs/trainJob');
      const result = await trainJob({
        ...loaded,
        runId: run.id,
        runDir: run.dir,
        signal: interrupts.signal,
        emit: (body) => record.emit(body),
        onStage: (stage) => record.view.stage(stage),
      });
      if (!record.ended)
        record.end({ status: result.status, ...(result.model_path ? { model_path: result.model_path } : {}) });
      await finish(record, result, run, goOnCommand(recipeFile, run.dir, options.set));
    } catch (error) {
      record.fail(error);
      if (record.started) await report(run.dir);
      throw error;
    } finally {
      record.view.close();
      process.off('SIGHUP', hangUp);
      interrupts.dispose();
      await log.close();
    }
  } finally {
    await lock.release();
  }
}

async function finish(
  record: RunRecord,
  result: TrainResult,
  run: { id: string; dir: string },
  goOn: string,
): Promise<void> {
  const { output } = record;
  const written = await report(run.dir);
  if (written instanceof Error) output.message(`Warning: there is no report: ${written.message}`);
  const path = written instanceof Error ? undefined : written;
  output.data({
    type: 'result',
    run: run.id,
    run_dir: run.dir,
    ...result,
    ...(path === undefined ? {} : { report: path }),
  });
  record.view.summary(result, path, goOn);
}

/** The report is an extra: a run is none the worse without. @returns its path, or why there is none */
async function report(runDir: string): Promise<string | Error> {
  try {
    const { writeReport } = await import('../../report/writeReport');
    return await writeReport(runDir);
  } catch (error) {
    return asTuneyardError(error);
  }
}

/** Each event goes into the log first, then to whoever watches. */
class RunRecord {
  started = false;
  ended = false;
  private step = 0;
  private readonly began = performance.now();

  constructor(
    readonly output: Output,
    readonly view: TrainView,
    private readonly append: (body: RunEventBody) => RunEvent,
  ) {}

  emit(body: RunEventBody): void {
    const event = this.append(body);
    if (body.type === 'start') this.started = true;
    if (body.type === 'end') this.ended = true;
    this.step = body.step;
    this.output.data(event);
    this.view.show(event);
  }

  end(how: { status: 'completed' | 'stopped' | 'failed'; code?: string; message?: string; model_path?: string }): void {
    this.emit({ type: 'end', step: this.step, runtime: (performance.now() - this.began) / 1000, ...how });
  }

  /** Says in the run's own files why it failed; the caller tells the person. */
  fail(error: unknown): void {
    const known = asTuneyardError(error);
    this.output.log?.write(`${known.message}\n${error instanceof Error ? error.stack : ''}`);
    if (this.ended) return;
    const { code, message } = known;
    try {
      this.end(code === 'cancelled' ? { status: 'stopped' } : { status: 'failed', code, message });
    } catch {
      // A full disk takes no more events; what the person needs to know is the first error.
    }
  }
}

function goOnCommand(recipe: string, runDir: string, settings: readonly string[]): string {
  const set = settings.flatMap((setting) => ['--set', setting]);
  return ['tuneyard', 'train', recipe, '--run-dir', runDir, '--resume', ...set].map(shellWord).join(' ');
}
