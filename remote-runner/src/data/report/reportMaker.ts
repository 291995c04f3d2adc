/**
 * Puts together what is found in chunks of rows. Memory: 16 bytes a row (24 with a filter), 6 to 12 more for the table of texts, and
 * 64 for each of the first million rows, among which near-duplicates are looked for.
 */
import type { DatasetReport, Finding, FindingKind } from '@protocol/dataset';
import { FINDING_KINDS } from '@protocol/dataset';
import { adviceFor } from './advice';
import { HAS_MINHASH, LEFT_OUT, MOST_FINDINGS, MOST_LABELS, USABLE } from './chunkFacts';
import { findingText } from './findingText';
import { lengthBins, lengthFigures } from './lengths';
import { MINIMA } from './minHash';
import { findNearRows } from './nearRows';
import { HELD_OUT, isTrained, partsOf } from './partsOf';
import type { ChunkFacts, ChunkFinding, ReportParams } from './reportTypes';
import { RowTable } from './rowTable';
import { SCRIPTS } from './textOddities';

/** Near-duplicates are looked for among so many rows. */
const MOST_COMPARED = 1_000_000;
/** A script that so many of the letters are of is the data's own; rows in others are told. */
const MAIN_SCRIPT = 0.8;
/** The largest class has so many times the rows of the smallest. */
const UNBALANCED = 5;

type FoundRow = Finding['rows'][number];

export class ReportMaker {
  readonly #total: number;
  readonly #firstRow: number[];
  readonly #flags: Uint8Array;
  readonly #lines: Uint32Array;
  readonly #hashes: Uint32Array;
  readonly #scripts: Uint8Array;
  readonly #compared: number;
  readonly #minima: Uint8Array;
  readonly #letters = new Float64Array(SCRIPTS.length);
  /** Tokens before truncation → rows. */
  readonly #lengths = new Map<number, number>();
  readonly #found = new Map<FindingKind, { count: number; rows: ChunkFinding[] }>();
  #labels: Map<string, number> | undefined = new Map();
  #tokens = 0;
  #trainTokens = 0;
  #supervised = 0;
  #trainSupervised = 0;
  #truncated = 0;
  #usable = 0;
  /** [rows] With a filter, which rows train is known only when all were seen. */
  readonly #later: { tokens: Uint32Array; supervised: Uint32Array } | undefined;
  /** [rows] as `partsOf`. */
  #parts: Uint8Array = new Uint8Array(0);

  constructor(
    private readonly params: ReportParams,
    private readonly rows: readonly number[],
  ) {
    let first = 0;
    this.#firstRow = rows.map((count) => {
      const mine = first;
      first += count;
      return mine;
    });
    this.#total = first;
    this.#flags = new Uint8Array(first);
    this.#lines = new Uint32Array(first);
    this.#hashes = new Uint32Array(2 * first);
    this.#scripts = new Uint8Array(first);
    this.#compared = Math.min(first, MOST_COMPARED);
    this.#minima = new Uint8Array(MINIMA * this.#compared);
    if (params.view.recipe.filter) {
      this.#later = { tokens: new Uint32Array(first), supervised: new Uint32Array(first) };
    } else {
      this.#learnParts();
    }
  }

  wantsNear(file: number, from: number, count: number): boolean {
    return this.#firstRow[file]! + from + count <= this.#compared;
  }

  take(file: number, facts: ChunkFacts): void {
    const first = this.#firstRow[file]! + facts.from;
    this.#flags.set(facts.flags, first);
    this.#lines.set(facts.lines, first);
    this.#hashes.set(facts.hashes, 2 * first);
    this.#scripts.set(facts.scripts, first);
    if (facts.minima) this.#minima.set(facts.minima, MINIMA * first);
    for (let i = 0; i < SCRIPTS.length; i++) this.#letters[i]! += facts.letters[i]!;
    const { maxLength } = this.params.view;
    for (let i = 0; i < facts.count; i++) {
      if (!(facts.flags[i]! & USABLE)) continue;
      const length = facts.lengths[i]!;
      const kept = Math.min(length, maxLength);
      this.#usable++;
      this.#lengths.set(length, (this.#lengths.get(length) ?? 0) + 1);
      this.#tokens += kept;
      this.#supervised += facts.supervised[i]!;
      if (length > maxLength) this.#truncated++;
      if (this.#later) {
        this.#later.tokens[first + i] = kept;
        this.#later.supervised[first + i] = facts.supervised[i]!;
      } else {
        this.#train(this.#parts[first + i]!, kept, facts.supervised[i]!);
      }
    }
    for (const kind of FINDING_KINDS) {
      const mine = facts.findings[kind];
      if (!mine) continue;
      const known = this.#found.get(kind) ?? { count: 0, rows: [] };
      known.count += mine.count;
      // Chunks come in any order; the first rows are the ones kept.
      const shifted = mine.rows.map((row) => ({ ...row, row: row.row + this.#firstRow[file]! }));
      known.rows = [...known.rows, ...shifted].sort((a, b) => a.row - b.row).slice(0, MOST_FINDINGS);
      this.#found.set(kind, known);
    }
    if (!facts.labels) this.#labels = undefined;
    for (const [label, count] of facts.labels ?? []) {
      this.#labels?.set(label, (this.#labels.get(label) ?? 0) + count);
      if (this.#labels && this.#labels.size > MOST_LABELS) this.#labels = undefined;
    }
  }

  /** @throws TuneyardError `cancelled` */
  async finish(signal: AbortSignal): Promise<DatasetReport> {
    if (this.#later) this.#learnParts();
    const twins = this.#duplicates();
    await this.#nearDuplicates(twins, signal);
    const scripts = this.#languages();
    const labels = this.#labelBalance();
    const { maxLength, model } = this.params.view;
    const findings = FINDING_KINDS.flatMap((kind): Finding[] => {
      const found = this.#found.get(kind);
      if (!found || found.count === 0) return [];
      const facts = { rows: this.#total, maxLength, compared: this.#compared, scripts, labels };
      return [{ kind, count: found.count, text: findingText(kind, found.count, facts), rows: found.rows }];
    });
    const lengths = lengthFigures(this.#lengths);
    let train = 0;
    let held = 0;
    let leftOut = 0;
    for (const [row, part] of this.#parts.entries()) {
      if (this.#flags[row]! & LEFT_OUT) leftOut++;
      if (part === HELD_OUT) {
        held++;
        continue;
      }
      train += part;
      if (this.#later) this.#train(part, this.#later.tokens[row]!, this.#later.supervised[row]!);
    }
    return {
      rows: this.#total,
      usable: this.#usable,
      train,
      eval: held,
      tokens: this.#tokens,
      supervised: this.#supervised,
      truncated: this.#truncated,
      lengths,
      histogram: lengthBins(this.#lengths),
      ...(labels.length > 0 ? { labels } : {}),
      languages: scripts,
      findings,
      advice: adviceFor({
        tokens: this.#trainTokens,
        supervised: this.#trainSupervised,
        weights: this.params.weights,
        rows: this.#total,
        evalRows: held,
        maxLength,
        p95: lengths.p95,
        leftOut,
        inWords: model === undefined,
        findings,
      }),
      cached: false,
    };
  }

  /** In their order. @throws TuneyardError `cancelled` */
  async duplicateRows(near: boolean, signal: AbortSignal): Promise<Uint32Array> {
    if (this.#later) this.#learnParts();
    const twins = this.#duplicates();
    if (near)
      await this.#nearDuplicates(twins, signal, (row) => {
        twins[row] = twins[row]! | 1;
      });
    const rows: number[] = [];
    for (let row = 0; row < twins.length; row++) if (twins[row]! & 1) rows.push(row);
    return Uint32Array.from(rows);
  }

  /** @param times that the row is trained on, or that it is held out */
  #train(times: number, tokens: number, supervised: number): void {
    if (!isTrained(times)) return;
    this.#trainTokens += times * tokens;
    this.#trainSupervised += times * supervised;
  }

  #learnParts(): void {
    const { view, seed, heldOut } = this.params;
    this.#parts = partsOf(view.recipe, seed, this.rows, heldOut, (row) => (this.#flags[row]! & LEFT_OUT) !== 0);
  }

  /** Exact ones, and exact leakage. @returns whether a row has an earlier one with its text */
  #duplicates(): Uint8Array {
    const twins = new Uint8Array(this.#total);
    const all = new RowTable(this.#hashes, this.#usable);
    let held = 0;
    for (let row = 0; row < this.#total; row++) {
      if (!(this.#flags[row]! & USABLE)) continue;
      if (this.#parts[row] === HELD_OUT) held++;
      const first = all.firstLike(row);
      if (first === row) continue;
      twins[row] = 1;
      this.#add('duplicate', this.#pair(row, first));
    }
    const trained = this.#trainedTwins(held);
    for (let row = 0; row < this.#total; row++) {
      if (this.#parts[row] !== HELD_OUT || !(this.#flags[row]! & USABLE)) continue;
      const other = trained(row);
      if (other === undefined) continue;
      twins[row] = twins[row]! | 2;
      this.#add('leakage', this.#pair(row, other, 'the same'));
    }
    return twins;
  }

  /** @param held how many rows are held out @returns for one of them the first row with its text that is trained on */
  #trainedTwins(held: number): (row: number) => number | undefined {
    // Those that are held out are fewer than those that are trained on.
    const table = new RowTable(this.#hashes, held);
    const twinOf = new Map<number, number>();
    for (let row = 0; row < this.#total; row++) {
      if (this.#parts[row] === HELD_OUT && this.#flags[row]! & USABLE) table.firstLike(row);
    }
    for (let row = 0; held > 0 && row < this.#total; row++) {
      if (!isTrained(this.#parts[row]) || !(this.#flags[row]! & USABLE)) continue;
      const like = table.like(row);
      if (like !== undefined && !twinOf.has(like)) twinOf.set(like, row);
    }
    return (row) => twinOf.get(table.like(row) ?? -1);
  }

  async #nearDuplicates(twins: Uint8Array, signal: AbortSignal, see?: (row: number) => void): Promise<void> {
    const { earlier, trained } = await findNearRows({
      rows: this.#compared,
      minima: this.#minima,
      has: (row) => (this.#flags[row]! & HAS_MINHASH) !== 0,
      isTrained: (row) => isTrained(this.#parts[row]),
      isHeldOut: (row) => this.#parts[row] === HELD_OUT,
      signal,
    });
    for (let row = 0; row < this.#compared; row++) {
      if (earlier[row]! >= 0 && !(twins[row]! & 1)) {
        this.#add('near_duplicate', this.#pair(row, earlier[row]!));
        see?.(row);
      }
      if (trained[row]! >= 0 && !(twins[row]! & 2))
        this.#add('leakage', this.#pair(row, trained[row]!, 'nearly the same'));
    }
    const leaks = this.#found.get('leakage');
    leaks?.rows.sort((a, b) => a.row - b.row);
  }

  #languages(): DatasetReport['languages'] {
    const letters = this.#letters.reduce((a, b) => a + b, 0);
    if (letters === 0) return [];
    const shares = SCRIPTS.map((script, i) => ({ script, share: this.#letters[i]! / letters, number: i }))
      .filter(({ share }) => share > 0)
      .sort((a, b) => b.share - a.share);
    const main = shares[0]!;
    if (main.share >= MAIN_SCRIPT && main.share < 1) {
      for (let row = 0; row < this.#total; row++) {
        const script = this.#scripts[row]!;
        if (script === 255 || script === main.number) continue;
        this.#add('language', { row, line: this.#lines[row]!, detail: SCRIPTS[script]! });
      }
    }
    return shares.map(({ script, share }) => ({ script, share: Number(share.toPrecision(4)) }));
  }

  #labelBalance(): { label: string; count: number }[] {
    const labels = [...(this.#labels ?? [])].map(([label, count]) => ({ label, count }));
    labels.sort((a, b) => b.count - a.count || (a.label < b.label ? -1 : 1));
    const [most, least] = [labels[0]?.count ?? 0, labels.at(-1)?.count ?? 0];
    if (labels.length > 1 && most >= UNBALANCED * least) this.#found.set('unbalanced', { count: most, rows: [] });
    return labels;
  }

  #pair(row: number, other: number, detail?: string): FoundRow {
    return { row, line: this.#lines[row]!, with: other, ...(detail === undefined ? {} : { detail }) };
  }

  #add(kind: FindingKind, row: FoundRow): void {
    const known = this.#found.get(kind);
    if (!known) this.#found.set(kind, { count: 1, rows: [row] });
    else if (++known.count && known.rows.length < MOST_FINDINGS) known.rows.push(row);
  }
}
