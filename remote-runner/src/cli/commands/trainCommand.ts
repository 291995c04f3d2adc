import { basename, join } from 'node:path';
import { TuneyardError } from '@protocol/errors';
import type { TrainResult } from '@protocol/runner';
import { Command } from 'commander';
import type { LoadedRecipe } from '../../jobs/requests';
import type { QueuePlace } from '../../runs/deviceQueue';
import type { RunLocation } from '../../runs/runDir';
import { asTuneyardError } from '../asTuneyardError';
import { type CliContext, openOutput, type SharedOptions, withSharedOptions } from '../context';
import { shellWord } from '../format';
import { listenForInterrupts } from '../interrupts';
import type { Output } from '../output';
import { TrainView } from '../render/trainView';
import { RunRecord } from '../runRecord';

interface TrainOptions extends SharedOptions {
  runDir?: string;
  resume?: boolean;
  queue?: boolean;
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
    .option('--queue', 'wait for other runs that use the same device, in the order in which they came')
    .option('--quiet', 'show only warnings and what came out')
    .addHelpText(
      'after',
      '\nCtrl-C (or SIGTERM) stops at the end of the step, with a checkpoint; a second one stops at once.\nA terminal that goes away does not stop a run.',
    )
    .action((recipe: string, options: TrainOptions) => train(context, recipe, options));
  return withSharedOptions(command);
}

/** What is to be trained, and where. */
interface Training extends RunLocation {
  loaded: LoadedRecipe;
  /** The command that resumes it. */
  goOn: string;
  /** Whether to wait for the device. */
  queue: boolean;
}

async function train(context: CliContext, recipeFile: string, options: TrainOptions): Promise<void> {
  const output = openOutput(context, options);
  const { loadRecipe } = await import('../../recipe/loadRecipe');
  const { acquireLock } = await import('../../runs/runLock');
  const { RunLog } = await import('../../runs/runLog');

  const loaded = await loadRecipe(recipeFile, options.set);
  if (options.resume) loaded.recipe.resume_from_checkpoint ||= true;
  const run = await findOrCreateRun(recipeFile, loaded, options);
  const set = options.set.flatMap((setting) => ['--set', setting]);
  const goOn = ['tuneyard', 'train', recipeFile, '--run-dir', run.dir, '--resume', ...set].map(shellWord).join(' ');

  const lock = await acquireLock(run.dir);
  const { rememberRun } = await import('../../runs/runDir');
  await rememberRun(run);
  try {
    output.log = new RunLog(join(run.dir, 'runner.log'));
    await trainLocked(output, { ...run, loaded, goOn, queue: options.queue === true });
  } finally {
    await lock.release();
  }
}

async function findOrCreateRun(file: string, { recipe }: LoadedRecipe, options: TrainOptions): Promise<RunLocation> {
  const { createRun, openRun } = await import('../../runs/runDir');
  const { runDir } = options;
  if (recipe.resume_from_checkpoint === true && runDir === undefined) {
    throw new TuneyardError('usage', 'which run shall go on? Name it with --run-dir; "tuneyard runs" lists them.');
  }
  if (options.resume && runDir !== undefined) return openRun(runDir);
  const name = basename(file).replace(/(\.tune)?\.jsonc?$/, '');
  return createRun({ name, ...(runDir === undefined ? {} : { runDir }) });
}

async function trainLocked(output: Output, { id, dir, loaded, goOn, queue }: Training): Promise<void> {
  const { openEventLog } = await import('../../runs/eventLog');
  const { writeRecipe } = await import('../../runs/runDir');
  const { markStopping } = await import('../../runs/runLock');
  const log = await openEventLog(dir);
  const view = new TrainView(output, dir);
  const isFirst = log.lastSeq === 0;
  const record = new RunRecord(output, view, log);
  const interrupts = listenForInterrupts({
    first: () => {
      output.message('Stopping at the end of this step. Once more to stop at once.');
      markStopping(dir).catch(() => {});
    },
    second: () => record.end({ status: 'failed', code: 'cancelled', message: 'the run was ended at once, by hand.' }),
  });
  const hangUp = () => output.log?.write('The terminal went away; the run goes on.');
  process.on('SIGHUP', hangUp);
  let place: QueuePlace | undefined;
  try {
    let rewritten: Promise<void> | undefined;
    if (isFirst) await writeRecipe(dir, loaded.recipe);
    output.data({ type: 'run', run: id, run_dir: dir });
    place = await takeDevice(id, loaded.recipe.device, queue, record, interrupts.signal);
    const job =
      loaded.recipe.world_size > 1
        ? (await import('../../jobs/launchRanks')).launchRanks
        : (await import('../../jobs/trainJob')).trainJob;
    const result = await job({
      ...loaded,
      runId: id,
      runDir: dir,
      signal: interrupts.signal,
      emit: (body) => {
        record.emit(body);
        // Not before: until then the recipe of the run that went before in this folder holds.
        if (body.type === 'start' && !isFirst) rewritten = writeRecipe(dir, loaded.recipe);
        rewritten?.catch(() => {});
      },
      onStage: (stage) => view.stage(stage),
    });
    await rewritten;
    await finish(output, view, result, { id, dir, goOn });
  } catch (error) {
    record.fail(error);
    if (record.started) await report(dir);
    throw error;
  } finally {
    view.close();
    process.off('SIGHUP', hangUp);
    interrupts.dispose();
    await place?.leave();
    await log.close();
  }
}

/**
 * The run's place among those that want its device. Without `queue` it begins at once, whoever is there, and only those
 * behind it take notice.
 */
async function takeDevice(
  id: string,
  requested: string,
  queue: boolean,
  record: RunRecord,
  signal: AbortSignal,
): Promise<QueuePlace | undefined> {
  const { likelyDevice } = await import('../../engine/likelyDevice');
  const { joinQueue } = await import('../../runs/deviceQueue');
  const { device } = await likelyDevice(requested);
  if (!queue) return joinQueue(id, device).catch(() => undefined);
  const place = await joinQueue(id, device);
  try {
    await place.turn((behind) => record.wait(device, behind), signal);
    return place;
  } catch (error) {
    await place.leave();
    throw error;
  }
}

async function finish(
  output: Output,
  view: TrainView,
  result: TrainResult,
  { id, dir, goOn }: Pick<Training, 'id' | 'dir' | 'goOn'>,
): Promise<void> {
  const written = await report(dir);
  if (written instanceof Error) output.message(`Warning: there is no report: ${written.message}`);
  const path = written instanceof Error ? undefined : written;
  output.data({ type: 'result', run: id, run_dir: dir, ...result, ...(path === undefined ? {} : { report: path }) });
  view.summary(result, path, goOn);
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
