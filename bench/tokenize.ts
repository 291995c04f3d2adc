/**
 * `npm run bench -- tokenize [--megabytes N] [--model FOLDER] [--threads N] [--peer PYTHON]`: how fast a data set becomes samples. Makes a file
 * (JSON Lines), and tokenizes it in turn
 * - as training does, on all cores, from the file to the samples (`tokens_per_second`), and of that the tokenizing alone (`tokenizing_tokens_per_second`);
 * - on one core (`one_core_tokens_per_second`);
 * - with `@huggingface/tokenizers` alone on one core, text in and ids out (`library_tokens_per_second`);
 * - with `--peer`: under Python with `datasets.map` and the Rust tokenizer, batched, on all cores (`peer_tokens_per_second`), which must give as many tokens.
 */
import { execFile } from 'node:child_process';
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs, promisify } from 'node:util';
import { Tokenizer as HfTokenizer } from '@huggingface/tokenizers';
import { datasetSchema } from '@protocol/recipe';
import { loadRows, tokenizeOptions, tokenizeRows } from '@runner/data/dataset';
import { Random } from '@runner/data/random';
import { loadTokenizer } from '@runner/data/tokenizer';
import { tokenizeInThreads } from '@runner/data/workers/tokenizeInThreads';
import { textRow } from './lib/textRows';

const here = import.meta.dirname;
const { values } = parseArgs({
  options: {
    megabytes: { type: 'string', default: '32' },
    model: { type: 'string', default: resolve(here, '../examples/default/model') },
    threads: { type: 'string', default: String(availableParallelism()) },
    peer: { type: 'string' },
  },
});
const MAX_LENGTH = 512;
const dir = resolve(values.model);
const threads = Number(values.threads);
const path = join(tmpdir(), 'tuneyard-bench', `rows-${values.megabytes}mb.jsonl`);
if (!(await stat(path).catch(() => undefined))) await makeFile();

const recipe = datasetSchema.parse({ path, append_eos: false });
const tokenizer = await loadTokenizer(dir);
const started = performance.now();
const { rows, ...data } = await loadRows(path, recipe, { baseDir: here });
const reading = seconds(started);
say(`${rows.length} rows read in ${reading.toFixed(2)} s`);

const all = await measured(async () => {
  const { samples } = await tokenizeInThreads({ dir, data, recipe, maxLength: MAX_LENGTH, rows }, threads);
  return samples;
});
const one = await measured(async () => {
  const { samples } = await tokenizeRows(
    rows,
    tokenizeOptions({ ...data, rows: [] }, recipe, { tokenizer, maxLength: MAX_LENGTH }),
  );
  return samples;
});
// Whole rows: what is cut off was tokenized too.
const whole = rows.reduce((sum, row) => sum + tokenizer.encode(String(row.values.text)).length, 0);
if (all.kept !== one.kept) throw new Error(`${all.kept} tokens on all cores, ${one.kept} on one`);
say(`${threads} threads: ${all.seconds.toFixed(2)} s, one: ${one.seconds.toFixed(2)} s, for ${whole} tokens`);

const json = JSON.parse(await readFile(join(dir, 'tokenizer.json'), 'utf8')) as object;
const config = JSON.parse(await readFile(join(dir, 'tokenizer_config.json'), 'utf8').catch(() => '{}')) as object;
const library = new HfTokenizer(json, config);
const libraryStart = performance.now();
let libraryTokens = 0;
for (const { values: row } of rows) {
  libraryTokens += library.encode(String(row.text), { add_special_tokens: false }).ids.length;
}
const librarySeconds = seconds(libraryStart);
say(`@huggingface/tokenizers alone: ${librarySeconds.toFixed(2)} s for ${libraryTokens} tokens`);

const figures: Record<string, number> = {
  tokens: whole,
  threads,
  tokens_per_second: Math.round(whole / (reading + all.seconds)),
  tokenizing_tokens_per_second: Math.round(whole / all.seconds),
  one_core_tokens_per_second: Math.round(whole / one.seconds),
  library_tokens_per_second: Math.round(libraryTokens / librarySeconds),
};
if (values.peer !== undefined) {
  const argv = [join(here, 'peer/map_tokenize.py'), dir, path, '--processes', String(threads)];
  const { stdout } = await promisify(execFile)(values.peer, argv, { maxBuffer: 1 << 24 });
  const peer = JSON.parse(stdout.trim().split('\n').at(-1)!) as { tokens: number; seconds: number };
  say(`datasets.map: ${peer.seconds.toFixed(2)} s for ${peer.tokens} tokens`);
  if (peer.tokens !== whole) throw new Error(`the peer counts ${peer.tokens} tokens, we ${whole}`);
  figures.peer_tokens_per_second = Math.round(peer.tokens / peer.seconds);
}
process.stdout.write(`${JSON.stringify({ bench: 'tokenize', ...figures })}\n`);

async function measured(
  make: () => Promise<readonly { inputIds: Int32Array }[]>,
): Promise<{ seconds: number; kept: number }> {
  const start = performance.now();
  const samples = await make();
  return { seconds: seconds(start), kept: samples.reduce((sum, { inputIds }) => sum + inputIds.length, 0) };
}

function seconds(since: number): number {
  return (performance.now() - since) / 1000;
}

async function makeFile(): Promise<void> {
  await mkdir(join(tmpdir(), 'tuneyard-bench'), { recursive: true });
  const draw = new Random(2);
  const lines: string[] = [];
  for (let size = 0; size < Number(values.megabytes) * 1e6; size += lines.at(-1)!.length) {
    lines.push(`${JSON.stringify({ text: textRow(draw) })}\n`);
  }
  await writeFile(path, lines.join(''));
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
