/** A run as it goes on: a header, a progress bar or lines, and what came out. */
import type { EvalEvent, GenerationEvent, LogEvent, RankPlace, RunEvent, StartEvent } from '@protocol/events';
import type { TrainResult } from '@protocol/runner';
import { formatBytes } from '../../hub/diskSpace';
import { formatCount, formatDuration, formatLoss, formatRate, formatShare, oneLine } from '../format';
import type { Output } from '../output';
import { ProgressBar } from './progressBar';

export class TrainView {
  private start: StartEvent | undefined;
  private bar: ProgressBar | undefined;
  private lastStage = '';

  constructor(
    private readonly output: Output,
    private readonly runDir: string,
  ) {}

  /** What is done before the first step. */
  stage(text: string): void {
    this.output.status(`${text} …`);
    // "Downloading a file (1 MB of 2 MB)" comes many times.
    const [name = ''] = text.split(' (');
    if (name !== this.lastStage) this.output.log?.write(name);
    this.lastStage = name;
  }

  show(event: RunEvent): void {
    const { output } = this;
    switch (event.type) {
      case 'queued':
        output.progress(`Waiting for ${event.device}, behind ${event.behind.join(', ')}`);
        break;
      case 'start':
        this.header(event);
        break;
      case 'log':
        this.showLog(event);
        break;
      case 'eval':
        output.progress(this.at(event.step, evalText(event)));
        break;
      case 'checkpoint':
        output.progress(this.at(event.step, `checkpoint of ${formatBytes(event.bytes)} saved: ${event.path}`));
        break;
      case 'generation':
        this.showGeneration(event);
        break;
      case 'warning':
        output.message(`${output.colors.yellow('Warning:')} ${event.message}`);
        break;
      case 'end':
        this.close();
        break;
    }
  }

  /** Takes the progress bar away. */
  close(): void {
    this.bar?.stop();
    this.bar = undefined;
    this.output.status('');
  }

  /** @param goOn the command that resumes the run */
  summary(result: TrainResult, report: string | undefined, goOn: string): void {
    this.close();
    const { colors } = this.output;
    const rows: [string, string][] = [];
    if (result.first_loss !== undefined && result.last_loss !== undefined) {
      rows.push(['Loss', `${formatLoss(result.first_loss)} → ${formatLoss(result.last_loss)}`]);
    }
    if (result.eval_loss !== undefined) {
      const perplexity =
        result.eval_perplexity === undefined ? '' : ` (perplexity ${result.eval_perplexity.toFixed(1)})`;
      const best =
        result.best_step === undefined
          ? ''
          : `, best at step ${result.best_step}: ${formatLoss(result.best_metric ?? Number.NaN)}`;
      rows.push(['Evaluation loss', `${formatLoss(result.eval_loss)}${perplexity}${best}`]);
    }
    if (result.model_path !== undefined) rows.push(['Model', result.model_path]);
    if (report !== undefined) rows.push(['Report', report]);
    const [word, steps] =
      result.status === 'completed'
        ? [colors.green('Done'), `${result.step} steps`]
        : [colors.yellow('Stopped'), `${result.step} of ${result.total_steps} steps`];
    this.output.print(`\n${word}: ${steps} in ${formatDuration(result.runtime)}`);
    this.table(rows, (line) => this.output.print(line));
    if (result.status === 'stopped') this.output.print(`Go on with         ${goOn}`);
  }

  private header(event: StartEvent): void {
    this.start = event;
    this.output.status('');
    const { trainable_parameters: trainable, parameters } = event;
    const share = `${((100 * trainable) / parameters).toPrecision(2)}%`;
    const trained = trainable === parameters ? 'all of them trained' : `${formatCount(trainable)} (${share}) trained`;
    const reason = event.device_reason.startsWith(event.device)
      ? event.device_reason
      : `${event.device} (${event.device_reason})`;
    const from = event.step > 0 ? `, from ${event.step}` : '';
    this.table(
      [
        ['Run', this.runDir],
        ['Model', `${event.model}, ${formatCount(parameters)} weights, ${trained}`],
        ['Samples', `${event.train_samples} to train on, ${event.eval_samples} to evaluate on`],
        ['Device', reason],
        ...(event.ranks ? ([['Ranks', ranksText(event.ranks)]] satisfies [string, string][]) : []),
        ['Steps', `${event.total_steps}${from}`],
        ...(event.resumed_from === undefined
          ? []
          : ([['Resumed from', event.resumed_from]] satisfies [string, string][])),
      ],
      (line) => this.output.progress(line),
    );
    this.output.progress('');
  }

  private showLog(event: LogEvent): void {
    const { output } = this;
    const total = this.start?.total_steps ?? event.step;
    const left = formatDuration((total - event.step) * event.step_seconds);
    const line = [
      `epoch ${event.epoch.toFixed(2)}`,
      `loss ${formatLoss(event.loss)}`,
      `lr ${formatRate(event.learning_rate)}`,
      `grad ${event.grad_norm.toPrecision(3)}`,
      `${formatCount(event.tokens_per_second)} tokens/s`,
      ...(event.skipped_steps ? [`${event.skipped_steps} skipped`] : []),
      `${left} left`,
    ].join('  ');
    if (!output.showsProgressBar) {
      output.progress(this.at(event.step, line));
      return;
    }
    output.log?.write(this.at(event.step, line));
    this.bar ??= new ProgressBar(output, total);
    this.bar.update(
      event.step,
      `loss ${formatLoss(event.loss)}  lr ${formatRate(event.learning_rate)}  ${formatCount(event.tokens_per_second)} tokens/s  ${left} left`,
    );
  }

  private showGeneration({ step, prompt, text }: GenerationEvent): void {
    const { output } = this;
    output.log?.write(this.at(step, `sample\n${prompt}\n${text}`));
    if (output.json) return;
    const head = this.at(step, 'writes: ');
    const half = Math.max(20, output.columns - head.length - 4);
    const shownPrompt = oneLine(prompt, Math.floor(half / 3));
    output.unlogged(`${head}${output.colors.dim(shownPrompt)} ${oneLine(text, half - shownPrompt.length)}`);
  }

  private at(step: number, text: string): string {
    const total = this.start?.total_steps ?? step;
    return `step ${String(step).padStart(String(total).length)}/${total}  ${text}`;
  }

  private table(rows: readonly (readonly [string, string])[], print: (line: string) => void): void {
    for (const [name, value] of rows) print(`${this.output.colors.bold(name.padEnd(17))}  ${value}`);
  }
}

function evalText(event: EvalEvent): string {
  const best = event.best ? ', the best so far' : '';
  const accuracy = event.eval_accuracy === undefined ? '' : `, accuracy ${formatShare(event.eval_accuracy)}`;
  return `evaluation loss ${formatLoss(event.eval_loss)}, perplexity ${event.eval_perplexity.toFixed(1)}${accuracy}${best}`;
}

/** "4: gpu-1 CUDA:0, gpu-1 CUDA:1, …" */
function ranksText(ranks: readonly RankPlace[]): string {
  const shown = ranks.slice(0, MOST_RANKS).map(({ host, device }) => `${host} ${device}`);
  return `${ranks.length}: ${shown.join(', ')}${ranks.length > MOST_RANKS ? ', …' : ''}`;
}

const MOST_RANKS = 8;
