/** What a compare panel shows, and the jobs that write its texts. Knows nothing of VS Code. */
import { randomUUID } from 'node:crypto';
import type { CompareLine } from '@protocol/compare';
import { type ErrorCode, TuneyardError } from '@protocol/errors';
import type { CompareModel as Column, CompareRun, CompareState, CompareText, Sampling } from '@protocol/panels';
import * as l10n from '@vscode/l10n';
import { type Disposable, Emitter } from 'vscode-jsonrpc';
import type { Runners } from '../runner/runner';
import { type CompareJob, jobArguments, madeWith, planJobs } from './compareJobs';
import type { Preference } from './preferences';

/** A page is told of growing texts at most so often. */
const TEXTS_MS = 250;

export const DEFAULT_SAMPLING: Sampling = {
  do_sample: false,
  temperature: 1,
  top_k: 50,
  top_p: 1,
  num_beams: 1,
  no_repeat_ngram_size: 0,
  max_new_tokens: 64,
  seed: 42,
};

interface Text extends Omit<CompareText, 'stale'> {
  /** {@link madeWith} of its prompt and sampling. */
  made: string;
  /** What stood there before, in case this one is cancelled. */
  before?: Text;
}

export class CompareModel implements Disposable {
  private models: Column[];
  private prompts: CompareState['prompts'];
  private sampling: Sampling;
  private readonly texts = new Map<string, Text>();
  private readonly recipe: string | undefined;
  private kept: number;
  private keptIn: string | undefined;

  private readonly changes = new Emitter<CompareState>();
  private readonly growth = new Emitter<CompareText[]>();
  private readonly grown = new Set<string>();
  private timer: ReturnType<typeof setTimeout> | undefined;

  /** What each host is busy with. */
  private readonly busy = new Map<string, string>();
  /** The last job of each host: the next one waits for it. */
  private readonly queues = new Map<string, Promise<void>>();
  private cancelling = new AbortController();

  readonly onDidChange = this.changes.event;
  /** Texts that are being written. */
  readonly onDidWrite = this.growth.event;

  constructor(
    private readonly runners: Pick<Runners, 'open'>,
    kept: Partial<CompareState> = {},
  ) {
    this.models = kept.models ?? [];
    this.prompts = kept.prompts ?? [];
    this.sampling = { ...DEFAULT_SAMPLING, ...kept.sampling };
    this.recipe = kept.recipe;
    this.kept = kept.kept ?? 0;
    this.keptIn = kept.keptIn;
    for (const { stale, ...text } of kept.texts ?? []) {
      // What was being written when the window went is not any more.
      if (text.state !== 'done' && text.state !== 'failed') continue;
      const made = stale ? '' : this.madeNow(text.prompt);
      this.texts.set(key(text.prompt, text.model), { ...text, made });
    }
  }

  get state(): CompareState {
    return {
      models: this.models,
      prompts: this.prompts,
      sampling: this.sampling,
      texts: [...this.texts.values()].map((text) => this.shown(text)),
      ...(this.busy.size > 0 && { running: [...this.busy.values()] }),
      ...(this.recipe !== undefined && { recipe: this.recipe }),
      kept: this.kept,
      ...(this.keptIn !== undefined && { keptIn: this.keptIn }),
    };
  }

  addModels(models: readonly Column[]): void {
    const known = new Set(this.models.map(({ id }) => id));
    this.models = toldApart([...this.models, ...models.filter(({ id }) => !known.has(id))]);
    this.changed();
  }

  removeModel(id: string): void {
    this.models = this.models.filter((model) => model.id !== id);
    this.forget((text) => text.model === id);
  }

  addPrompt(text: string): string {
    const id = randomUUID();
    this.prompts = [...this.prompts, { id, text }];
    this.changed();
    return id;
  }

  editPrompt(id: string, text: string): void {
    this.prompts = this.prompts.map((prompt) => (prompt.id === id ? { id, text } : prompt));
    this.changed();
  }

  removePrompt(id: string): void {
    this.prompts = this.prompts.filter((prompt) => prompt.id !== id);
    this.forget((text) => text.prompt === id);
  }

  setSampling(part: Partial<Sampling>): void {
    this.sampling = { ...this.sampling, ...part };
    this.changed();
  }

  /** Settles when the texts are written, have failed or were cancelled; failures stand in the texts. */
  async run({ what, prompt, model }: CompareRun): Promise<void> {
    const wanted = (ofPrompt: string, ofModel: string) => {
      if ((prompt !== undefined && prompt !== ofPrompt) || (model !== undefined && model !== ofModel)) return false;
      const text = this.texts.get(key(ofPrompt, ofModel));
      if (text?.state === 'waiting' || text?.state === 'running') return false;
      return what === 'all' || text?.state !== 'done' || this.shown(text).stale;
    };
    const jobs = planJobs(this.models, this.prompts, wanted);
    const { signal } = this.cancelling;
    const { sampling } = this;
    for (const job of jobs) this.mark(job, sampling);
    this.changed();
    await Promise.all(jobs.map((job) => this.enqueue(job, sampling, signal)));
  }

  /** Ends what is being written and what waits. */
  cancel(): void {
    this.cancelling.abort();
    this.cancelling = new AbortController();
  }

  /** The pair as it is kept. */
  preference(prompt: string, chosen: string, rejected: string): Preference {
    const text = this.prompts.find(({ id }) => id === prompt)?.text;
    const [better, worse] = [chosen, rejected].map((model) => this.texts.get(key(prompt, model))?.cell);
    if (text === undefined || !better || !worse) {
      throw new TuneyardError('usage', l10n.t('There are no two finished texts to choose from; write them first.'));
    }
    if (better.text === worse.text) {
      throw new TuneyardError('usage', l10n.t('Both texts are the same, so such a pair teaches nothing.'));
    }
    return {
      prompt: text,
      chosen: better.text,
      rejected: worse.text,
      chosen_weights: better.weights,
      rejected_weights: worse.weights,
      time: new Date().toISOString(),
    };
  }

  /** A pair was kept in this file. */
  keptPair(file: string): void {
    this.kept = this.keptIn === file ? this.kept + 1 : 1;
    this.keptIn = file;
    this.changed();
  }

  dispose(): void {
    this.cancelling.abort();
    clearTimeout(this.timer);
    this.timer = undefined;
    this.changes.dispose();
    this.growth.dispose();
  }

  private enqueue(job: CompareJob, sampling: Sampling, signal: AbortSignal): Promise<void> {
    const before = this.queues.get(job.host) ?? Promise.resolve();
    const done = before.then(() => this.perform(job, sampling, signal));
    this.queues.set(job.host, done);
    return done;
  }

  private async perform(job: CompareJob, sampling: Sampling, signal: AbortSignal): Promise<void> {
    const label = job.models[0]!.hostLabel;
    const doing = (stage: string) => {
      this.busy.set(job.host, `${label}: ${stage}`);
      this.changed();
    };
    try {
      if (signal.aborted) throw new TuneyardError('cancelled', 'cancelled.');
      doing(l10n.t('Connecting'));
      const runner = await this.runners.open(job.host, { signal, onProgress: doing });
      doing(l10n.t('Loading the model'));
      await runner.job(jobArguments(job, sampling), {
        signal,
        onLine: ({ data }) => {
          if (isCompareLine(data)) this.take(job, data, doing);
        },
      });
      this.settle(job, l10n.t('The runner ended without writing this text. Run it again.'));
    } catch (error) {
      const cancelled = error instanceof TuneyardError && error.code === 'cancelled';
      const parts = cancelled ? [] : this.unwritten(job, error);
      // One model that is not there must not keep the others from being written.
      for (const part of parts) await this.perform(part, sampling, signal);
      if (parts.length === 0)
        this.settle(job, cancelled ? undefined : error instanceof Error ? error.message : String(error));
    } finally {
      this.busy.delete(job.host);
      this.changed();
    }
  }

  /** What is left of a job that failed, a model each; nothing where that would fail in the same way. */
  private unwritten(job: CompareJob, error: unknown): CompareJob[] {
    const unreachable = !(error instanceof TuneyardError) || LOST.includes(error.code);
    if (job.models.length < 2 || unreachable) return [];
    return job.models.flatMap((model) => {
      const prompts = job.prompts.filter(({ id }) => this.texts.get(key(id, model.id))?.state !== 'done');
      return prompts.length > 0 ? [{ ...job, models: [model], prompts }] : [];
    });
  }

  private take(job: CompareJob, line: CompareLine, doing: (stage: string) => void): void {
    if (line.type === 'model') {
      const model = job.models[line.done];
      if (model) doing(l10n.t('{0} of {1}: {2}', line.done + 1, line.total, model.label));
      return;
    }
    if (line.type === 'report') return;
    const [prompt, model] = [job.prompts[line.prompt], job.models[line.model]];
    const text = prompt && model && this.texts.get(key(prompt.id, model.id));
    // Prompt and model may have been removed since.
    if (!text) return;
    if (line.type === 'text') {
      text.text = (text.state === 'running' ? text.text : '') + line.text;
      text.state = 'running';
    } else {
      text.text = line.cell.text;
      text.cell = line.cell;
      text.state = 'done';
      delete text.before;
    }
    this.wrote(key(text.prompt, text.model));
  }

  private mark({ models, prompts }: CompareJob, sampling: Sampling): void {
    for (const prompt of prompts) {
      for (const model of models) {
        const name = key(prompt.id, model.id);
        const made = madeWith(prompt.text, sampling);
        const before = this.texts.get(name);
        const text: Text = { prompt: prompt.id, model: model.id, state: 'waiting', text: '', made };
        this.texts.set(name, { ...text, ...(before?.state === 'done' && { before }) });
      }
    }
  }

  /** What has not been written by now will not be. `message`: why; absent: what stood there before comes back. */
  private settle({ models, prompts }: CompareJob, message?: string): void {
    for (const prompt of prompts) {
      for (const model of models) {
        const name = key(prompt.id, model.id);
        const text = this.texts.get(name);
        if (text?.state !== 'waiting' && text?.state !== 'running') continue;
        if (message === undefined && text.before) this.texts.set(name, text.before);
        else this.texts.set(name, { ...text, state: 'failed', message: message ?? l10n.t('Cancelled.') });
      }
    }
  }

  private forget(which: (text: Text) => boolean): void {
    for (const [name, text] of this.texts) if (which(text)) this.texts.delete(name);
    this.changed();
  }

  private shown({ made, before: _, ...text }: Text): CompareText {
    return { ...text, stale: text.state === 'done' && made !== this.madeNow(text.prompt) };
  }

  private madeNow(prompt: string): string {
    return madeWith(this.prompts.find(({ id }) => id === prompt)?.text ?? '', this.sampling);
  }

  private wrote(name: string): void {
    this.grown.add(name);
    this.timer ??= setTimeout(() => {
      this.timer = undefined;
      const texts = [...this.grown].flatMap((one) => this.texts.get(one) ?? []);
      this.grown.clear();
      if (texts.length > 0) this.growth.fire(texts.map((text) => this.shown(text)));
    }, TEXTS_MS);
  }

  private changed(): void {
    this.changes.fire(this.state);
  }
}

/** Runs of one name are told apart by their ids. */
function toldApart(models: readonly Column[]): Column[] {
  return models.map((model) => {
    const isAlone = models.filter(({ label }) => label === model.label).length === 1;
    return isAlone || model.run === undefined ? model : { ...model, label: `${model.label} · ${model.run}` };
  });
}

const key = (prompt: string, model: string): string => `${prompt} ${model}`;

/** Failures of a host rather than of a model. */
const LOST: ErrorCode[] = ['connection_failed', 'connection_lost', 'timed_out', 'auth_failed', 'install_failed'];

const LINES = ['model', 'text', 'cell', 'report'];

function isCompareLine(data: unknown): data is CompareLine {
  return typeof data === 'object' && data !== null && 'type' in data && LINES.includes(String(data.type));
}
