/** What the dataset panel shows: a session on the machine where the data lies, and what a person tries with it. */
import type { DatasetEdit, DatasetFix, DatasetSample, HubChoice, OpenDataset, RowHead } from '@protocol/dataset';
import type { DatasetPanelState, DatasetSettings } from '@protocol/datasetPanel';
import { TuneyardError } from '@protocol/errors';
import type { DatasetRecipe } from '@protocol/recipe';
import * as l10n from '@vscode/l10n';
import { type Disposable, Emitter, type Event } from 'vscode-jsonrpc';
import { proposeTemplate } from '../recipes/proposeRecipe';
import type { DatasetProcess } from '../runner/datasetProcess';

/** What is looked at, and as a recipe says it, where there is one. */
export interface DatasetTarget {
  /** On the machine where it lies, or `hf://…`. */
  path: string;
  /** Name of the host that it lies on; absent: this machine, or the hub. */
  host?: string;
  recipe?: string;
  /** As it stands in the recipe, without its path. */
  dataset: Partial<DatasetRecipe>;
  settings: DatasetSettings;
  seed: number;
}

/** Where data is looked at. */
export interface DatasetPlace {
  /** @param host a name; undefined: this machine */
  start(host: string | undefined): Promise<DatasetProcess>;
  /** What a model of this machine is called there, its tokenizer sent where it has to be. */
  modelOn(host: string, model: string): Promise<string>;
}

const DEFAULTS = { train_on_prompt: false, append_eos: true, pack: false, test_size: 0.1 };

export class DatasetModel implements Disposable {
  readonly #changed = new Emitter<DatasetPanelState>();
  #state: DatasetPanelState;
  #process: Promise<DatasetProcess> | undefined;
  #unsaved: string | undefined;
  #reporting: AbortController | undefined;
  #opening = 0;
  #isDisposed = false;

  constructor(
    private readonly place: DatasetPlace,
    private target: DatasetTarget,
  ) {
    this.#state = this.#fresh();
  }

  get state(): DatasetPanelState {
    return this.#state;
  }

  /** Of the recipe's split. */
  get seed(): number {
    return this.target.seed;
  }

  get onDidChange(): Event<DatasetPanelState> {
    return this.#changed.event;
  }

  /** Shows something else, or the same as its recipe says it now. */
  async show(target: DatasetTarget): Promise<void> {
    if (target.path !== this.target.path || target.host !== this.target.host) this.#unsaved = undefined;
    if (target.host !== this.target.host) this.#hangUp();
    this.target = target;
    this.#state = { ...this.#fresh(), version: this.#state.version + 1 };
    await this.open();
  }

  async set(part: Partial<DatasetSettings>): Promise<void> {
    const settings = { ...this.#state.settings, ...part };
    // A template of one's own is the format that takes any columns.
    if (part.template !== undefined) settings.format = 'template';
    if (part.format !== undefined && part.format !== 'template') delete settings.template;
    // Another configuration has other splits.
    if (part.config !== undefined) delete settings.split;
    await this.#setAll(settings);
  }

  /** Without a model. */
  async countWords(): Promise<void> {
    const { model: _, ...settings } = this.#state.settings;
    await this.#setAll(settings);
  }

  /** What an editor holds in place of the file; undefined: the file. */
  async setUnsaved(text: string | undefined): Promise<void> {
    if (text === this.#unsaved) return;
    this.#unsaved = text;
    await this.open();
  }

  async open(): Promise<void> {
    const turn = ++this.#opening;
    this.cancelReport();
    this.#update({ opening: true, unsaved: this.#unsaved !== undefined });
    try {
      const { peer } = await this.#session();
      const opened = await this.#openAs(peer.request.bind(peer));
      if (turn !== this.#opening || this.#isDisposed) return;
      const { problem: _, report: __, reportProblem: ___, ...rest } = this.#state;
      const known = opened.rows ?? rest.rows;
      const { hub } = opened;
      this.#state = { ...rest, opened, ...(hub && { hub }), opening: false, rows: known, version: rest.version + 1 };
      this.#changed.fire(this.#state);
    } catch (error) {
      if (turn !== this.#opening || this.#isDisposed) return;
      const { opened: _, report: __, ...rest } = this.#state;
      const hub = error instanceof TuneyardError ? (error.data.hub as HubChoice | undefined) : undefined;
      const problem = messageOf(error);
      this.#state = { ...rest, ...(hub && { hub }), opening: false, rows: 0, problem, version: rest.version + 1 };
      this.#changed.fire(this.#state);
    }
  }

  async rows(from: number, count: number): Promise<RowHead[]> {
    if (!this.#state.opened) return [];
    const { peer } = await this.#session();
    return peer.request('dataset/rows', { from, count });
  }

  async sample(which: { row: number } | { line: number; source: number }): Promise<DatasetSample | null> {
    if (!this.#state.opened) return null;
    const { peer } = await this.#session();
    return peer.request('dataset/sample', which);
  }

  async report(): Promise<void> {
    this.cancelReport();
    const asked = new AbortController();
    this.#reporting = asked;
    const { reportProblem: _, ...rest } = this.#state;
    this.#state = rest;
    this.#update({ reporting: { done: 0, total: 1 } });
    try {
      const { peer } = await this.#session();
      const report = await peer.request('dataset/report', {}, asked.signal);
      if (this.#reporting === asked) this.#update({ report });
    } catch (error) {
      if (this.#reporting === asked && !asked.signal.aborted) this.#update({ reportProblem: messageOf(error) });
    } finally {
      if (this.#reporting === asked) this.cancelReport();
    }
  }

  cancelReport(): void {
    this.#reporting?.abort();
    this.#reporting = undefined;
    if (this.#state.reporting === undefined) return;
    const { reporting: _, ...rest } = this.#state;
    this.#state = rest;
    this.#changed.fire(this.#state);
  }

  async edits(fix: DatasetFix, signal?: AbortSignal): Promise<DatasetEdit[]> {
    return (await this.#session()).peer.request('dataset/edits', { fix }, signal);
  }

  async fix(fix: DatasetFix, to: string, signal?: AbortSignal): Promise<{ paths: string[]; rows: number }> {
    return (await this.#session()).peer.request('dataset/fix', { fix, to }, signal);
  }

  dispose(): void {
    this.#isDisposed = true;
    this.#reporting?.abort();
    this.#hangUp();
    this.#changed.dispose();
  }

  #hangUp(): void {
    const process = this.#process;
    this.#process = undefined;
    process?.then((one) => one.dispose()).catch(() => {});
  }

  async #setAll(settings: DatasetSettings): Promise<void> {
    const changed = JSON.stringify(sorted(settings)) !== JSON.stringify(sorted(this.target.settings));
    this.#update({ settings, changed });
    await this.open();
  }

  #fresh(): DatasetPanelState {
    const { path, host, recipe, settings } = this.target;
    return {
      path,
      ...(host !== undefined && { host }),
      ...(recipe !== undefined && { recipe }),
      settings,
      changed: false,
      unsaved: false,
      opening: true,
      rows: 0,
      indexed: 0,
      version: 0,
    };
  }

  #update(part: Partial<DatasetPanelState>): void {
    if (this.#isDisposed) return;
    this.#state = { ...this.#state, ...part };
    this.#changed.fire(this.#state);
  }

  /** As asked; where the model is not on this machine without it, and where no column is a text with one that is guessed. */
  async #openAs(request: DatasetProcess['peer']['request']) {
    const params = this.#params();
    const { host } = this.target;
    if (host !== undefined && params.model !== undefined) params.model = await this.place.modelOn(host, params.model);
    for (let attempt = 1; ; attempt++) {
      try {
        const opened = await request('dataset/open', params);
        if (params.model === undefined && this.#state.settings.model !== undefined)
          opened.warnings.push(
            l10n.t(
              'The model {0} is not on this machine yet: words are counted, not tokens.',
              this.#state.settings.model,
            ),
          );
        return opened;
      } catch (error) {
        if (!(error instanceof TuneyardError) || attempt === 3) throw error;
        const { columns } = error.data;
        const guess =
          error.code === 'column_missing' && params.dataset.template === undefined && Array.isArray(columns)
            ? proposeTemplate(columns as string[])
            : undefined;
        if (guess) {
          params.dataset = {
            ...params.dataset,
            template: guess.template,
            ...(guess.targetColumn !== undefined && { target_column: guess.targetColumn }),
          };
        } else if (
          params.model !== undefined &&
          ['hub_failed', 'file_not_found', 'tokenizer_invalid'].includes(error.code)
        )
          delete params.model;
        else throw error;
      }
    }
  }

  #params(): OpenDataset {
    const { path, dataset, seed } = this.target;
    const { model, format, template, config, split, max_length, train_on_prompt } = this.#state.settings;
    const { template: _, format: __, config: ___, split: ____, ...rest } = dataset;
    return {
      dataset: {
        ...DEFAULTS,
        ...rest,
        path,
        train_on_prompt,
        ...(format !== undefined && { format }),
        ...(template !== undefined && { template }),
        ...(config !== undefined && { config }),
        ...(split !== undefined && { split }),
      } as DatasetRecipe,
      ...(model !== undefined && { model }),
      max_length,
      seed,
      ...(this.#unsaved !== undefined && { unsaved: { path, text: this.#unsaved } }),
    };
  }

  #session(): Promise<DatasetProcess> {
    if (this.#isDisposed) return Promise.reject(new TuneyardError('cancelled', 'cancelled.'));
    if (this.#process) return this.#process;
    const starting = this.place.start(this.target.host).then((process) => {
      process.peer.on('dataset/indexed', ({ rows, bytes, total_bytes, done }) =>
        this.#update({ rows, indexed: done ? 1 : total_bytes > 0 ? Math.min(0.99, bytes / total_bytes) : 0 }),
      );
      process.peer.on('dataset/progress', (reporting) => {
        if (this.#reporting) this.#update({ reporting });
      });
      process.peer.listen();
      if (this.#isDisposed) process.dispose();
      // The next thing that is asked starts another, and opens the data there.
      void process.closed.then(() => {
        if (this.#process !== starting) return;
        this.#process = undefined;
        if (!this.#isDisposed)
          this.#update({
            problem: l10n.t('The program that reads the data ended; change a setting to start it again.'),
          });
      });
      return process;
    });
    this.#process = starting;
    starting.catch(() => {
      if (this.#process === starting) this.#process = undefined;
    });
    return starting;
  }
}

const sorted = (settings: DatasetSettings) => Object.entries(settings).sort(([a], [b]) => (a < b ? -1 : 1));

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
