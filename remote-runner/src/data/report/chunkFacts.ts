/** What a thread finds in some neighbouring rows, in a form that is small and crosses threads without being copied. */
import type { FindingKind } from '@protocol/dataset';
import { TuneyardError } from '@protocol/errors';
import type { SourceRow } from '../index/rowSource';
import type { SampleView } from '../session/sampleView';
import { MINIMA, minHashes } from './minHash';
import type { ChunkFacts } from './reportTypes';
import { findEmail, findSecret } from './secrets';
import { textHash } from './textHash';
import { countScripts, findOddity, SCRIPTS } from './textOddities';

/** Findings of a kind of which the rows are kept. */
export const MOST_FINDINGS = 1_000;
/** The rest of a long text is not searched for secrets and the like. */
const MOST_CHARACTERS = 200_000;
/** More different labels than this are no classes. */
export const MOST_LABELS = 200;

export const USABLE = 1;
export const HAS_MINHASH = 2;
/** By the recipe's filter: nothing else is said of such a row. */
export const LEFT_OUT = 4;

/** @throws TuneyardError `cancelled` */
export function analyseRows(
  rows: readonly SourceRow[],
  view: SampleView,
  options: { path: string; maxLength: number; near: boolean; signal?: AbortSignal },
): ChunkFacts {
  const count = rows.length;
  const facts: ChunkFacts = {
    from: rows[0]?.row ?? 0,
    count,
    flags: new Uint8Array(count),
    lines: new Uint32Array(count),
    hashes: new Uint32Array(2 * count),
    lengths: new Uint32Array(count),
    supervised: new Uint32Array(count),
    scripts: new Uint8Array(count).fill(255),
    letters: new Float64Array(SCRIPTS.length),
    ...(options.near && { minima: new Uint8Array(MINIMA * count) }),
    findings: {},
    columns: [],
  };
  const columns = new Set<string>();
  const labels = new Map<string, number>();
  for (const [i, row] of rows.entries()) {
    if (options.signal?.aborted) throw new TuneyardError('cancelled', 'cancelled.');
    facts.lines[i] = row.line;
    for (const column in row.values) columns.add(column);
    if (row.values && !view.uses(row.values)) {
      facts.flags[i] = LEFT_OUT;
      continue;
    }
    const find = (kind: FindingKind, detail?: string) => {
      const found = facts.findings[kind] ?? { count: 0, rows: [] };
      facts.findings[kind] = found;
      found.count++;
      if (found.rows.length < MOST_FINDINGS) {
        found.rows.push({ row: row.row, line: row.line, ...(detail === undefined ? {} : { detail }) });
      }
    };
    const seen = view.measure(row, options.path);
    if (seen.text !== undefined) {
      const { text } = seen;
      facts.hashes.set(textHash(text), 2 * i);
      const part = text.length > MOST_CHARACTERS ? text.slice(0, MOST_CHARACTERS) : text;
      const script = countScripts(part, facts.letters);
      if (script >= 0) facts.scripts[i] = script;
      const oddity = findOddity(part);
      if (oddity !== undefined) find('encoding', oddity);
      const secret = findSecret(part);
      if (secret) find('secret', `${secret.kind}: ${secret.shown}`);
      const email = findEmail(part);
      if (email !== undefined) find('email', email);
      if (seen.target !== undefined && seen.label === undefined) {
        const target = seen.target.trim();
        if (target === '') find('empty_target');
        else if (isOneWord(target)) find('one_word_target', target.slice(0, 80));
      }
      if (seen.label !== undefined && labels.size <= MOST_LABELS) {
        labels.set(seen.label, (labels.get(seen.label) ?? 0) + 1);
      }
    }
    if (seen.problem !== undefined) {
      find('unusable', seen.problem);
      continue;
    }
    facts.flags[i] = USABLE;
    facts.lengths[i] = seen.length;
    facts.supervised[i] = seen.supervised;
    if (seen.length > options.maxLength) find('truncated', `${seen.length} tokens`);
    if (!facts.minima || seen.text === undefined) continue;
    const near = minHashes(seen.text);
    if (!near) continue;
    facts.flags[i] = USABLE | HAS_MINHASH;
    facts.minima.set(near, MINIMA * i);
  }
  facts.columns = [...columns];
  if (labels.size <= MOST_LABELS) facts.labels = [...labels];
  return facts;
}

/** In scripts without spaces a word is short. */
function isOneWord(text: string): boolean {
  if (/\s/u.test(text)) return false;
  const isUnspaced = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}]/u.test(text);
  return !isUnspaced || [...text].length <= 2;
}
