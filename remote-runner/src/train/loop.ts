/**
 * The training loop: the only one. Steps, log lines, evaluations, checkpoints, early stopping, stop and resume.
 * It knows nothing of files but checkpoints, and nothing of graphs but {@link TrainStep}.
 */
import { TuneyardError } from '@protocol/errors';
import type { RunEventBody } from '@protocol/events';
import type { Recipe } from '@protocol/recipe';
import type { Batch } from '../data/collate';
import type { GradientNorm } from '../optim/gradientNorm';
import type { Optimizer } from '../optim/optimizer';
import { learningRateAt } from '../optim/schedules';
import type { DataParallel } from './dataParallel';
import { type Evaluation, evaluateBatches } from './evaluate';
import { emptyWindow } from './metrics';
import type { TrainingPlan } from './plan';
import { updateLossScale } from './precision';
import type { TrainerState } from './trainerState';
import type { TrainStep } from './trainStep';

export interface LoopContext {
  recipe: Recipe;
  plan: TrainingPlan;
  step: TrainStep;
  optimizer: Optimizer;
  gradientNorm: GradientNorm;
  /** The ranks that train together; this one alone, where there is no other. */
  parallel: DataParallel;
  evalBatches: readonly Batch[];
  evalSamples: number;
  /** Changed in place. */
  state: TrainerState;
  signal?: AbortSignal;
  emit(event: RunEventBody): void;
  /** Writes a checkpoint of the present state. `keep` are steps that must not be deleted. */
  save(state: TrainerState): Promise<void>;
  /** The last checkpoint that is known to be good, for messages. */
  lastCheckpoint(): string | undefined;
  /** Writes texts for the recipe's prompts with the present weights. */
  generate?(step: number): Promise<void>;
}

export type LoopResult = 'completed' | 'stopped';

/**
 * Trains from `state.step` to the end.
 * @throws TuneyardError `not_finite` (nothing is saved: the last checkpoint is good), and what saving throws
 */
export async function runLoop(context: LoopContext): Promise<LoopResult> {
  const { recipe, plan, state } = context;
  const warmup = recipe.warmup_steps > 0 ? recipe.warmup_steps : Math.ceil(recipe.warmup_ratio * plan.totalSteps);
  let saved = state.step;
  const save = async () => {
    await requireSoundWeights(context);
    await context.save(state);
    saved = state.step;
  };
  // A run that was stopped in the middle of an evaluation makes up for it.
  if (await evaluateIfDue(context)) return 'completed';
  // It had stopped early, and was ended before it could say so.
  if (!state.evaluation_due && isOutOfPatience(context)) return 'completed';
  let isStopping = await agreeToStop(context);
  // A step that overflows has none.
  let lastNorm = 0;
  while (state.step < plan.totalSteps && !isStopping) {
    const started = performance.now();
    const rate = learningRateAt(recipe.lr_scheduler_type, {
      step: updates(state),
      totalSteps: plan.totalSteps,
      warmupSteps: warmup,
      peak: recipe.learning_rate,
    });
    const trained = await trainStep(context, rate);
    if (!trained) break;
    const { loss, norm, supervised, tokens } = trained;
    isStopping = trained.isStopping;
    state.step++;
    state.tokens_seen += tokens;
    const seconds = (performance.now() - started) / 1000;
    state.runtime += seconds;
    const { window } = state;
    window.tokens += tokens;
    window.steps++;
    window.seconds += seconds;
    if (Number.isFinite(loss)) {
      window.loss_sum += loss * supervised;
      window.supervised_tokens += supervised;
      state.first_loss ??= loss;
      state.last_loss = loss;
    }

    const last = state.step === plan.totalSteps;
    const epochEnd = state.step % plan.stepsPerEpoch === 0 || last;
    if (Number.isFinite(norm)) lastNorm = norm;
    if (state.step % recipe.logging_steps === 0 || last) log(context, rate, lastNorm, trained.rankSeconds);

    state.evaluation_due =
      context.evalBatches.length > 0 &&
      isDue(recipe.eval_strategy, recipe.eval_steps ?? recipe.logging_steps, state.step, epochEnd, last);
    const stop = await evaluateIfDue(context);
    const bestNow = state.best?.step === state.step && recipe.load_best_model_at_end;
    const due =
      recipe.save_strategy !== 'no' &&
      (bestNow || isDue(recipe.save_strategy, recipe.save_steps, state.step, epochEnd, last));
    isStopping = isAlone(context) ? isAborted(context) : isStopping;
    if (due || (isStopping && saved !== state.step)) {
      await save();
    }
    if (stop) return 'completed';
  }
  if (state.step < plan.totalSteps) {
    if (saved !== state.step) await save();
    return 'stopped';
  }
  if (saved !== state.step) await requireSoundWeights(context);
  return 'completed';
}

/**
 * A step's loss is that of the weights before its update: whether those behind it still compute shows only at the next
 * step. Weights that are to be kept are tried before that, so that no checkpoint is called good, nor makes room for
 * itself by deleting a good one, that is none.
 */
async function requireSoundWeights(context: LoopContext): Promise<void> {
  const { plan, step, state, evalBatches } = context;
  if (state.step === 0) return;
  const trained = plan.batches(state.step - 1);
  // An evaluation's batch where there is one: its graph is needed anyway.
  const { loss } = await step.evaluate(evalBatches[0] ?? trained[0]!);
  if (!Number.isFinite(loss)) throw notFinite(context, 'loss', loss, trained, state.step);
}

/** Evaluates, unless asked to stop meanwhile: then it stays due. @returns whether training ends early */
async function evaluateIfDue(context: LoopContext): Promise<boolean> {
  const { state, parallel } = context;
  if (!state.evaluation_due) return false;
  const signal = isAlone(context) ? context.signal : undefined;
  const evaluation = await evaluateBatches(context.step, context.evalBatches, { signal, parallel });
  if (!evaluation) return false;
  if (!Number.isFinite(evaluation.loss)) {
    const trained = context.plan.batches(state.step - 1);
    throw notFinite(context, 'evaluation loss', evaluation.loss, trained, state.step);
  }
  state.evaluation_due = false;
  const stop = judge(context, evaluation);
  await context.generate?.(state.step);
  return stop;
}

function isDue(
  strategy: 'no' | 'steps' | 'epoch',
  every: number,
  step: number,
  epochEnd: boolean,
  last: boolean,
): boolean {
  if (strategy === 'no') return false;
  return strategy === 'epoch' ? epochEnd : step % every === 0 || last;
}

const isAlone = ({ parallel }: LoopContext): boolean => parallel.collective.worldSize === 1;

const isAborted = ({ signal }: LoopContext): boolean => signal?.aborted === true;

/** Whether any rank was asked to stop: all find the same. */
async function agreeToStop(context: LoopContext): Promise<boolean> {
  const [stops = 0] = await context.parallel.sum([isAborted(context) ? 1 : 0]);
  return stops > 0;
}

/** @returns null where it was asked to stop in the middle: the weights are those of the step before */
async function trainStep(context: LoopContext, rate: number) {
  try {
    return await wholeStep(context, rate);
  } catch (error) {
    if (error instanceof TuneyardError && error.code === 'cancelled') return null;
    throw error;
  }
}

async function wholeStep(context: LoopContext, rate: number) {
  const { recipe, plan, step, optimizer, state } = context;
  // What is to be stopped at once must have something to go on from.
  const signal = state.step > 0 && isAlone(context) ? context.signal : undefined;
  const batches = plan.batches(state.step);
  const supervised = batches.reduce((sum, batch) => sum + batch.rows.length, 0);
  const tokens = batches.reduce((sum, batch) => sum + batch.tokens, 0);
  const { parallel } = context;
  const mine = parallel.mine([...batches.entries()]);
  const { loss_scale: scaling } = state;
  const scale = scaling?.scale ?? 1;
  let ownLoss = 0;
  let seconds = 0;
  for (const round of parallel.rounds(mine, batches.length)) {
    const began = performance.now();
    for (const [at, [i, batch]] of round.entries()) {
      const scaled = await step.accumulate(batch, {
        weight: scale / supervised,
        first: at === 0,
        seed: dropoutSeed(recipe.seed, state.step, i),
        signal,
        begins: (names) => parallel.gradientsBegin(names),
        // Behind the last batch before an exchange its gradients may go.
        ...(at === round.length - 1 && { completed: (names: readonly string[]) => parallel.gradientsComplete(names) }),
      });
      ownLoss += scaled / scale;
      if (!Number.isFinite(ownLoss) && isAlone(context) && !scaling) throw notFinite(context, 'loss', ownLoss, [batch]);
    }
    if (round.length === 0) parallel.noGradients(() => step.clearGradients());
    seconds += (performance.now() - began) / 1000;
    // Before anything else is said: ranks must say the same in the same order.
    await parallel.reduceGradients();
  }
  const { rank, worldSize } = parallel.collective;
  const times = Array.from({ length: worldSize }, (_, i) => (i === rank ? seconds : 0));
  const [loss = 0, stops = 0, ...rankSeconds] = await parallel.sum([ownLoss, isAborted(context) ? 1 : 0, ...times]);
  if (!Number.isFinite(loss) && !scaling) throw notFinite(context, 'loss', loss, batches);
  const norm = (await parallel.norm(context.gradientNorm)) / scale;
  const overflowed = !Number.isFinite(loss) || !Number.isFinite(norm);
  if (overflowed && !scaling) throw notFinite(context, 'gradient', norm, batches);
  if (scaling && !updateLossScale(scaling, overflowed)) {
    const isLoss = !Number.isFinite(loss);
    throw notFinite(context, isLoss ? 'loss' : 'gradient', isLoss ? loss : norm, batches);
  }
  const trained = { loss, norm, supervised, tokens, isStopping: stops > 0, rankSeconds };
  if (overflowed) return trained;
  // As torch's clip_grad_norm_: the small number keeps the quotient defined.
  const clip = recipe.max_grad_norm > 0 ? Math.min(1, recipe.max_grad_norm / (norm + 1e-6)) : 1;
  await optimizer.step({ learningRate: rate, gradientScale: clip / scale, step: updates(state) + 1 });
  await parallel.shareParameters();
  return trained;
}

/** How many times the weights have changed. */
const updates = ({ step, loss_scale }: TrainerState): number => step - (loss_scale?.skipped_steps ?? 0);

/** One seed a micro-batch, so that a resumed run drops out the same units. */
function dropoutSeed(seed: number, step: number, microBatch: number): bigint {
  return BigInt.asIntN(64, (BigInt(seed) << 40n) ^ (BigInt(step) << 12n) ^ BigInt(microBatch));
}

function log({ plan, state, emit }: LoopContext, rate: number, norm: number, rankSeconds: readonly number[]): void {
  const { window } = state;
  emit({
    type: 'log',
    step: state.step,
    epoch: plan.epochAt(state.step),
    // Of steps that all overflowed there is none but the one before.
    loss: window.supervised_tokens > 0 ? window.loss_sum / window.supervised_tokens : (state.last_loss ?? 0),
    learning_rate: rate,
    grad_norm: norm,
    tokens_per_second: window.tokens / window.seconds,
    supervised_tokens: window.supervised_tokens,
    tokens_seen: state.tokens_seen,
    memory_bytes: process.memoryUsage.rss(),
    step_seconds: window.seconds / window.steps,
    ...(rankSeconds.length > 1 && { rank_seconds: [...rankSeconds] }),
    ...(state.loss_scale && { loss_scale: state.loss_scale.scale, skipped_steps: state.loss_scale.skipped_steps }),
  });
  state.window = emptyWindow();
}

/** Takes note of an evaluation. @returns whether to stop early */
function judge({ recipe, plan, state, emit, evalSamples }: LoopContext, evaluation: Evaluation): boolean {
  const { loss, perplexity, accuracy } = evaluation;
  const name = recipe.metric_for_best_model;
  const metric = { eval_loss: loss, eval_perplexity: perplexity, eval_accuracy: accuracy }[name];
  const better = (by: number) =>
    !state.best || (name === 'eval_accuracy' ? metric > state.best.metric + by : metric < state.best.metric - by);
  const best = better(0);
  const gained = better(recipe.early_stopping_threshold);
  state.evals_without_gain = gained ? 0 : state.evals_without_gain + 1;
  if (best) state.best = { step: state.step, metric };
  state.last_eval_loss = evaluation.loss;
  emit({
    type: 'eval',
    step: state.step,
    epoch: plan.epochAt(state.step),
    eval_loss: evaluation.loss,
    eval_perplexity: evaluation.perplexity,
    eval_accuracy: evaluation.accuracy,
    eval_samples: evalSamples,
    eval_tokens: evaluation.tokens,
    eval_runtime: evaluation.seconds,
    best,
  });
  if (!isOutOfPatience({ recipe, state })) return false;
  const patience = state.evals_without_gain;
  emit({
    type: 'warning',
    step: state.step,
    code: 'early_stopping',
    message: `stopped early: ${recipe.metric_for_best_model} has not improved for ${patience} evaluation${patience > 1 ? 's' : ''}; the best was at step ${state.best?.step}.`,
  });
  return true;
}

function isOutOfPatience({ recipe, state }: Pick<LoopContext, 'recipe' | 'state'>): boolean {
  const patience = recipe.early_stopping_patience;
  return patience !== undefined && state.evals_without_gain >= patience;
}

function notFinite(
  { recipe, state, lastCheckpoint }: LoopContext,
  what: string,
  value: number,
  batches: readonly Batch[],
  step = state.step + 1,
): TuneyardError {
  const lines = batches.flatMap((batch) => batch.lines).sort((a, b) => a - b);
  const good = lastCheckpoint();
  return new TuneyardError(
    'not_finite',
    `the ${what} became ${value} at step ${step}, on the samples of line${lines.length > 1 ? 's' : ''} ${lines.join(', ')}; ${
      good ? `the last good checkpoint is ${good}` : 'there is no checkpoint yet'
    }. ${recipe.fp16 ? 'Use bf16 in place of fp16, lower' : 'Lower'} learning_rate, or look at these lines.`,
    { data: { step, lines, checkpoint: good ?? null } },
  );
}
