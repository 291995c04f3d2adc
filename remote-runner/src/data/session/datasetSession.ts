/** A dataset that is being looked at: its files, opened where they lie, and the rows as the model sees them. */
import { homedir } from 'node:os';
import { isAbsolute, resolve } from 'node:path';
import type {
  DatasetEdit,
  DatasetFix,
  DatasetReport,
  DatasetSample,
  OpenDataset,
  OpenedDataset,
  RowHead,
} from '@protocol/dataset';
import { TuneyardError } from '@protocol/errors';
import { isHubPath } from '@protocol/hubPath';
import type { DatasetRecipe } from '@protocol/recipe';
import { fetchHubFile, type HubDataOptions } from '../../hub/hubDataset';
import { FORMAT_ROWS } from '../dataset';
import { applyFix, type FixContext, fixEdits } from '../fix/applyFix';
import { resolveFormat } from '../formats/resolveFormat';
import { testPaths } from '../heldOut';
import { pinHubData } from '../hubSources';
import { openHubSource, openSource } from '../index/openSource';
import type { RowSource, SourceRow } from '../index/rowSource';
import { HELD_OUT, isTrained, partsOf } from '../report/partsOf';
import { loadReport, reportKey, saveReport } from '../report/reportCache';
import type { ReportParams } from '../report/reportTypes';
import type { Sample } from '../tokenize';
import { DataThread } from '../workers/dataThread';
import type { Tasks } from '../workers/tasks';
import { batchMates } from './batchMates';
import { MOST_PACKED_BYTES, packedBlocks } from './packedBlocks';
import { SampleView } from './sampleView';
import { type SessionModel, sessionModel } from './sessionModel';
import type { ViewSpec } from './viewSpec';

/** Rows of a list that are asked for at once, at most. */
const MOST_ROWS = 1_000;
/** Characters of rows whose tokens are counted for a list: about 50 ms. */
const MOST_COUNTED = 100_000;
const KEPT_LENGTHS = 20_000;
/** Rows that are split and shuffled in no time. */
const MOST_ROWS_AT_ONCE = 200_000;

export interface IndexProgress {
  rows: number;
  bytes: number;
  total_bytes: number;
  done: boolean;
  problem?: string;
}

interface OpenFile {
  source: RowSource;
  unsaved: string | undefined;
  /** Which part of the data all of it is. */
  split?: 'eval';
}

type Tell = (piece: { done: number; total: number }) => void;

export class DatasetSession {
  #files: OpenFile[] = [];
  #view: SampleView | undefined;
  #spec: ViewSpec | undefined;
  #seed = 0;
  #batchSize = 8;
  /** Of each row, as `partsOf`; once all rows are counted. */
  #parts: Uint8Array | undefined;
  /** With a filter, once its rows are known. */
  #leftOut: Uint8Array | undefined;
  #mates: ((row: number) => readonly number[] | undefined) | undefined;
  #weights: number | undefined;
  #learning = false;
  /** With `pack`: what is shown in place of rows. */
  #packing: Promise<Sample[]> | undefined;
  #blocks: Sample[] | undefined;
  /** Of data on the hub. */
  #found: { key: string; pinned: Awaited<ReturnType<typeof pinHubData>> } | undefined;
  #warnings: string[] = [];
  /** Aborted when something else is opened. */
  #opening = new AbortController();
  /** Row → tokens, problem: what a list shows again and again. */
  readonly #heads = new Map<number, { length?: number; words: string; problem?: string }>();

  constructor(private readonly onIndexed: (progress: IndexProgress) => void) {}

  /** @throws TuneyardError of the files, the template, the tokenizer */
  async open(params: OpenDataset, signal?: AbortSignal): Promise<OpenedDataset> {
    this.#opening.abort();
    this.#opening = new AbortController();
    const { signal: opening } = this.#opening;
    const { recipe, hub } = await this.#pinned(params.dataset, this.#until(signal));
    const loading = params.model === undefined ? undefined : sessionModel(params.model, signal);
    loading?.catch(() => {});
    await this.#openFiles(recipe, params.unsaved, this.#until(signal));
    const first = this.#files[0]!;
    const rows = await first.source.read(0, FORMAT_ROWS, signal);
    if (rows.length === 0 && first.source.done) {
      throw new TuneyardError('dataset_empty', `the ${first.source.format} file has no rows.`, {
        place: { file: first.source.path },
      });
    }
    const warnings: string[] = [...this.#warnings];
    const model = await loading;
    const columns = columnsOf(rows);
    const maxLength = Math.min(params.max_length, model?.maxPositions ?? params.max_length);
    if (maxLength < params.max_length) {
      warnings.push(`The model has ${maxLength} positions: samples are cut there, not at ${params.max_length}.`);
    }
    this.#heads.clear();
    const values = rows.flatMap((row) => (row.values ? [row.values] : []));
    const how = { place: { file: first.source.path }, chat: model?.tokenizer.chatTemplate };
    const sampleFormat = resolveFormat(recipe, columns, values, how);
    warnings.push(...sampleFormat.warnings);
    this.#spec = {
      recipe,
      columns,
      sampleFormat,
      maxLength,
      path: first.source.path,
      fileFormat: first.source.format,
      ...(model && { model: model.dir }),
    };
    this.#seed = params.seed;
    this.#batchSize = params.batch_size ?? 8;
    this.#parts = undefined;
    this.#leftOut = undefined;
    this.#mates = undefined;
    this.#weights = model?.weights;
    this.#view = new SampleView({ ...this.#spec, tokenizer: model?.tokenizer });
    this.#packing = undefined;
    this.#blocks = undefined;
    if (recipe.pack && model && !recipe.sources && first.source.bytes <= MOST_PACKED_BYTES) {
      const data = { path: first.source.path, format: first.source.format, columns, sampleFormat };
      const how = { recipe, data, tokenizer: model.tokenizer, maxLength };
      this.#packing = packedBlocks(first.source, this.#files[0]!.unsaved, how, opening);
      this.#packing
        .then((blocks) => {
          if (opening.aborted) return;
          this.#blocks = blocks;
          this.#tellIndexed();
        })
        .catch(() => {});
    } else if (recipe.pack) {
      warnings.push(
        model
          ? 'Several files, and large ones, are not shown in the blocks that are trained on, but row by row.'
          : 'Without a model the rows are shown, not the blocks that they are packed into.',
      );
    }
    this.#tellIndexed();
    return {
      sources: this.#files.map(({ source }, i) => {
        const weight = i === 0 ? recipe.weight : recipe.sources?.[i - 1]?.weight;
        const { path, bytes, format: file_format } = source;
        return { path, bytes, file_format, ...(weight === undefined ? {} : { weight }) };
      }),
      columns,
      ...(hub && { hub }),
      format: this.#view.format,
      possible: this.#view.possible,
      template: this.#view.template,
      ...(this.#view.targetColumn === undefined ? {} : { target_column: this.#view.targetColumn }),
      ...(this.#view.chatNote === undefined ? {} : { chat_template: this.#view.chatNote }),
      ...(model ? { tokenizer: tokenizerFacts(model) } : {}),
      ...(model?.weights === undefined ? {} : { model_weights: model.weights }),
      ...(this.#packing && { packed: true as const }),
      ...(this.#done && !this.#packing ? { rows: this.#rows } : {}),
      warnings,
    };
  }

  async rows(from: number, count: number, signal?: AbortSignal): Promise<RowHead[]> {
    const view = this.#opened();
    if (this.#packing) return this.#blockHeads(await orAborted(this.#packing, this.#until(signal)), from, count);
    this.#learnParts();
    let budget = MOST_COUNTED;
    const heads: RowHead[] = [];
    for (const { row, source, at } of await this.#read(from, Math.min(count, MOST_ROWS), signal)) {
      const number = at.row;
      let facts = this.#heads.get(number);
      if (!facts) {
        budget -= row.bytes;
        // Without its length where that would take too long; asked for again, it is its turn.
        facts = view.facts(row, source.source.path, budget > 0);
        if (budget > 0 && this.#heads.size < KEPT_LENGTHS) this.#heads.set(number, facts);
      }
      heads.push({
        row: number,
        source: at.source,
        line: row.line,
        words: facts.words,
        ...(facts.length === undefined ? {} : { length: facts.length }),
        ...(facts.problem === undefined ? {} : { problem: facts.problem }),
        ...this.#splitOf(number),
        ...(row.values && !view.uses(row.values) ? { left_out: true } : {}),
      });
    }
    return heads;
  }

  async sample(
    which: { row: number } | { line: number; source: number },
    signal?: AbortSignal,
  ): Promise<DatasetSample | null> {
    const view = this.#opened();
    if (this.#packing) {
      const blocks = await orAborted(this.#packing, this.#until(signal));
      const row = 'row' in which ? which.row : blocks.findLastIndex(({ line }) => line <= which.line);
      return blocks[row] ? view.block(blocks[row], row) : null;
    }
    let number: number | undefined;
    if ('row' in which) number = which.row;
    else {
      const file = this.#files[which.source];
      const row = await file?.source.rowAtLine(which.line, signal);
      number = row === undefined ? undefined : row + this.#firstRowOf(which.source);
    }
    if (number === undefined || !(number >= 0)) return null;
    const [found] = await this.#read(number, 1, signal);
    if (!found) return null;
    const sample = view.sample(found.row, found.source.source.path, found.at);
    const padding = await this.#paddingOf(sample, signal);
    return padding === undefined ? sample : { ...sample, padding };
  }

  /** @throws TuneyardError `cancelled`, also when something else is opened; what reading the files throws */
  async report(tell: Tell, caller?: AbortSignal): Promise<DatasetReport> {
    this.#opened();
    const signal = this.#until(caller);
    await this.#fetchAll(tell, signal);
    const files = this.#files;
    const params = await this.#reportParams(files, signal);
    const key = await reportKey(
      files.map(({ source }) => source.key),
      params,
    );
    let report = await loadReport(key);
    if (!report) {
      report = await this.#inThread('report', params, tell, signal);
      await saveReport(key, report);
    }
    const problem = files.map(({ source }) => source.problem).find((one) => one !== undefined);
    return problem ? { ...report, advice: [problem.message, ...report.advice] } : report;
  }

  /** @throws TuneyardError as `applyFix` */
  async fix(fix: DatasetFix, to: string, tell: Tell, caller?: AbortSignal): Promise<{ paths: string[]; rows: number }> {
    return applyFix(fix, absolute(to), await this.#fixContext(tell, caller));
  }

  /** @throws TuneyardError as `fixEdits` */
  async edits(fix: DatasetFix, tell: Tell, caller?: AbortSignal): Promise<DatasetEdit[]> {
    return fixEdits(fix, await this.#fixContext(tell, caller));
  }

  async #fixContext(tell: Tell, caller?: AbortSignal): Promise<FixContext> {
    const view = this.#opened();
    const signal = this.#until(caller);
    await this.#fetchAll(tell, signal);
    const files = this.#files;
    for (const { source } of files) {
      await orAborted(source.whole, signal);
      if (source.problem) throw source.problem;
    }
    return {
      sources: files,
      view,
      signal,
      tell: (done, total) => tell({ done, total }),
      duplicates: async (near) => {
        const params = await this.#reportParams(files, signal);
        return this.#inThread('duplicates', { ...params, near }, tell, signal);
      },
    };
  }

  /** What ends when the caller gives up, or something else is opened. */
  #until(caller: AbortSignal | undefined): AbortSignal {
    return AbortSignal.any([this.#opening.signal, ...(caller ? [caller] : [])]);
  }

  async #reportParams(files: readonly OpenFile[], signal: AbortSignal): Promise<ReportParams> {
    await orAborted(Promise.all(files.map(({ source }) => source.whole)), signal);
    return {
      files: files.map(({ source }) => source.spec()),
      // Packed rows are cut into blocks; nothing of them is lost.
      view: this.#spec!.recipe.pack ? { ...this.#spec!, maxLength: Number.MAX_SAFE_INTEGER } : this.#spec!,
      seed: this.#seed,
      heldOut: files.map(({ split }) => split === 'eval'),
      ...(this.#weights === undefined ? {} : { weights: this.#weights }),
    };
  }

  async #inThread<N extends 'report' | 'duplicates' | 'parts'>(
    name: N,
    params: Tasks[N]['params'],
    tell: Tell,
    signal: AbortSignal,
  ): Promise<Tasks[N]['result']> {
    const thread = new DataThread();
    try {
      return await orAborted(thread.run(name, params, { onPiece: tell, signal }), signal);
    } finally {
      // With its own threads.
      await thread.close();
    }
  }

  async close(): Promise<void> {
    this.#opening.abort();
    const files = this.#files;
    this.#files = [];
    await Promise.allSettled(files.map(({ source }) => source.close()));
  }

  #blockHeads(blocks: readonly Sample[], from: number, count: number): RowHead[] {
    this.#parts ??= partsOf(this.#spec!.recipe, this.#seed, [blocks.length], [false]);
    return blocks.slice(from, from + count).map((block, i) => ({
      row: from + i,
      source: 0,
      line: block.line,
      words: this.#view!.blockWords(block),
      length: block.inputIds.length,
      ...this.#splitOf(from + i),
    }));
  }

  #splitOf(row: number): { split?: 'train' | 'eval' } {
    const part = this.#parts?.[row];
    return isTrained(part) ? { split: 'train' } : part === HELD_OUT ? { split: 'eval' } : {};
  }

  /** Nobody waits for it where it takes long: then rows are told without, until it is known. */
  #learnParts(): void {
    const { recipe } = this.#spec!;
    // Packed data is split by blocks, not by rows.
    if (this.#parts || !this.#done || recipe.pack) return;
    // For a filter every row is read: not over a network.
    if (recipe.filter && this.#files.some(({ source }) => isHubPath(source.path))) return;
    const rows = this.#files.map(({ source }) => source.rows);
    const heldOut = this.#files.map(({ split }) => split === 'eval');
    if (!recipe.filter && this.#rows <= MOST_ROWS_AT_ONCE) {
      this.#parts = partsOf(recipe, this.#seed, rows, heldOut);
      return;
    }
    if (this.#learning) return;
    this.#learning = true;
    const { signal } = this.#opening;
    const files = this.#files.map(({ source }) => source.spec());
    this.#inThread('parts', { files, recipe, seed: this.#seed, rows, heldOut }, () => {}, signal)
      .then(({ parts, leftOut }) => {
        if (signal.aborted) return;
        this.#parts = parts;
        this.#leftOut = leftOut;
        // Whoever shows rows may ask for them again.
        this.#tellIndexed();
      })
      .catch(() => {})
      .finally(() => {
        this.#learning = false;
      });
  }

  /** To the longest of its batch in the first epoch; undefined where that is not known. */
  async #paddingOf(sample: DatasetSample, signal?: AbortSignal): Promise<number | undefined> {
    const { recipe, maxLength } = this.#spec!;
    const isKnown = this.#done && this.#rows <= MOST_ROWS_AT_ONCE && !recipe.pack && (!recipe.filter || this.#leftOut);
    if (!isKnown || sample.length === 0 || sample.problem !== undefined) return undefined;
    const counts = this.#files.filter(({ split }) => split !== 'eval').map(({ source }) => source.rows);
    const how = { counts, seed: this.#seed, batchSize: this.#batchSize, leftOut: this.#leftOut };
    this.#mates ??= batchMates(recipe, how);
    let longest = 0;
    for (const row of this.#mates(sample.row) ?? []) {
      const [mate] = await this.#read(row, 1, signal);
      if (!mate || mate.row.bytes > MOST_COUNTED) return undefined;
      longest = Math.max(longest, this.#view!.facts(mate.row, mate.source.source.path, true).length ?? 0);
    }
    return longest === 0 ? undefined : Math.min(longest, maxLength) - Math.min(sample.length, maxLength);
  }

  get #done(): boolean {
    return this.#files.every(({ source }) => source.done);
  }

  get #rows(): number {
    return this.#files.reduce((rows, { source }) => rows + source.rows, 0);
  }

  #opened(): SampleView {
    if (this.#view) return this.#view;
    throw new TuneyardError('usage', 'no dataset is open yet.');
  }

  /** Files on the hub by their commit; asked of it once, however often a control is turned. */
  async #pinned(dataset: DatasetRecipe, signal: AbortSignal) {
    const { path, config, split, test_split, sources, test_path } = dataset;
    const key = JSON.stringify([path, config, split, test_split, sources, test_path]);
    if (this.#found?.key !== key) {
      this.#warnings = [];
      const pinned = await pinHubData(dataset, this.#hubOptions(signal));
      this.#found = { key, pinned };
    }
    const { recipe, hub } = this.#found.pinned;
    const { path: first, sources: more, test_path: tests } = recipe;
    const { config: _, split: __, test_split: ___, sources: ____, test_path: _____, ...rest } = dataset;
    return {
      recipe: {
        ...rest,
        path: first,
        ...(more && { sources: more }),
        ...(tests !== undefined && { test_path: tests }),
      },
      hub,
    };
  }

  #hubOptions(signal: AbortSignal, tell?: Tell): HubDataOptions {
    return {
      signal,
      onWarning: (message) => void this.#warnings.push(message),
      onProgress: ({ bytes, totalBytes }) =>
        tell
          ? tell({ done: bytes, total: totalBytes })
          : this.onIndexed({ rows: 0, bytes, total_bytes: totalBytes, done: false }),
    };
  }

  /** What is read where it lies on the hub, in whole on this machine. */
  async #fetchAll(tell: Tell, signal: AbortSignal): Promise<void> {
    for (const [i, file] of this.#files.entries()) {
      const { path } = file.source;
      if (!isHubPath(path)) continue;
      const source = await openSource(await fetchHubFile(path, this.#hubOptions(signal, tell)));
      if (signal.aborted) {
        await source.close();
        throw new TuneyardError('cancelled', 'cancelled.');
      }
      this.#files[i] = { ...file, source };
      if (i === 0) this.#spec = { ...this.#spec!, path: source.path };
      await file.source.close();
    }
  }

  /** Files that did not change stay open, with what is known of them. */
  async #openFiles(recipe: DatasetRecipe, unsaved: OpenDataset['unsaved'], signal: AbortSignal): Promise<void> {
    const wanted = [
      { path: absolute(recipe.path), split: undefined },
      ...(recipe.sources ?? []).map(({ path }) => ({ path: absolute(path), split: undefined })),
      ...testPaths(recipe).map((path) => ({ path: absolute(path), split: 'eval' as const })),
    ];
    const before = this.#files;
    const files: OpenFile[] = [];
    try {
      for (const { path, split } of wanted) {
        const text = unsaved && absolute(unsaved.path) === path ? unsaved.text : undefined;
        const source = isHubPath(path)
          ? await openHubSource(path, this.#hubOptions(signal))
          : await openSource(path, text);
        const same = before.find(
          (file) => file.source.key === source.key && !files.some((f) => f.source === file.source),
        );
        if (same) await source.close();
        else source.onProgress(() => this.#tellIndexed());
        files.push({ source: same?.source ?? source, unsaved: text, ...(split && { split }) });
      }
    } catch (error) {
      for (const { source } of files) if (!before.some((file) => file.source === source)) await source.close();
      throw error;
    }
    this.#files = files;
    for (const { source } of before) if (!files.some((file) => file.source === source)) await source.close();
  }

  async #read(from: number, count: number, signal?: AbortSignal) {
    const found: { row: SourceRow; source: OpenFile; at: { row: number; source: number } }[] = [];
    let first = 0;
    for (const [index, file] of this.#files.entries()) {
      const { source } = file;
      const start = Math.max(from - first, 0);
      const wanted = from + count - first - start;
      if (wanted > 0 && (!source.done || start < source.rows)) {
        for (const row of await source.read(start, wanted, signal)) {
          found.push({ row, source: file, at: { row: first + row.row, source: index } });
        }
      }
      // The numbers of the next file's rows are not known before this one's are counted.
      if (!source.done) break;
      first += source.rows;
    }
    return found;
  }

  #firstRowOf(source: number): number {
    return this.#files.slice(0, source).reduce((rows, file) => rows + file.source.rows, 0);
  }

  #tellIndexed(): void {
    // A row of which the end was not known may have one by now.
    if (this.#done) this.#heads.clear();
    const problem = this.#files.map(({ source }) => source.problem).find((one) => one !== undefined);
    this.onIndexed({
      rows: this.#packing ? (this.#blocks?.length ?? 0) : this.#rows,
      bytes: this.#files.reduce((bytes, { source }) => bytes + source.indexed, 0),
      total_bytes: this.#files.reduce((bytes, { source }) => bytes + source.bytes, 0),
      done: this.#done && (!this.#packing || this.#blocks !== undefined),
      ...(problem ? { problem: problem.message } : {}),
    });
  }
}

function columnsOf(rows: readonly SourceRow[]): string[] {
  const columns = new Set<string>();
  for (const { values } of rows) if (values) for (const column of Object.keys(values)) columns.add(column);
  return [...columns];
}

function tokenizerFacts({ dir, tokenizer }: SessionModel): OpenedDataset['tokenizer'] {
  return { path: dir, vocab_size: tokenizer.vocabSize, has_chat_template: tokenizer.chatTemplate !== undefined };
}

function absolute(path: string): string {
  return isHubPath(path) || isAbsolute(path) ? path : resolve(path.replace(/^~(?=\/)/, homedir()));
}

/** What takes no signal, given up when it fires. */
async function orAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  let abort = () => {};
  const aborted = new Promise<never>((_, reject) => {
    abort = () => reject(new TuneyardError('cancelled', 'cancelled.'));
    if (signal.aborted) abort();
    signal.addEventListener('abort', abort, { once: true });
  });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}
