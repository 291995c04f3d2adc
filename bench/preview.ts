/**
 * `npm run bench -- preview [--gigabytes N] [--file PATH] [--model FOLDER]`: what it takes to look into a data set of 2 GB. Makes the
 * file (JSON Lines, rows of 50 to 2,000 bytes), starts the runner's session as the editor does, and measures from the start of
 * the process: `open_s` until the first screen of rows is there, with their lengths in tokens; `scroll_ms`, the 95th percentile of
 * a screen of 40 rows and of a whole sample anywhere in the file; `peak_rss_mb` of the process with its threads. With `--report` also
 * `report_s`, how long it takes to look at every row, and `report_peak_rss_mb`.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { mkdir, readFile, rename, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { DatasetClientContract, DatasetContract } from '@protocol/dataset';
import { datasetSchema } from '@protocol/recipe';
import { Peer } from '@protocol/rpc';
import { SERVE_MARKER } from '@protocol/serve';
import { Random } from '@runner/data/random';
import { createMessageConnection, StreamMessageReader, StreamMessageWriter } from 'vscode-jsonrpc/node';
import { textRow } from './lib/textRows';

const root = fileURLToPath(new URL('..', import.meta.url));
const { values } = parseArgs({
  options: {
    gigabytes: { type: 'string', default: '2' },
    file: { type: 'string' },
    model: { type: 'string', default: join(root, 'examples/default/model') },
    /** Looked at while and after the file is indexed. */
    screens: { type: 'string', default: '200' },
    report: { type: 'boolean', default: false },
  },
});
const bytes = Number(values.gigabytes) * 1e9;
const path = values.file ? resolve(values.file) : join(tmpdir(), 'tuneyard-bench', `rows-${values.gigabytes}gb.jsonl`);
const SCREEN = 40;

if (!values.file && (await stat(path).catch(() => undefined))?.size === undefined) await makeFile();
const { size } = await stat(path);

const started = performance.now();
// A home of its own: what an earlier run knew of the file is not to be used.
const home = join(tmpdir(), 'tuneyard-bench', `home-${process.pid}`);
const child = spawn(process.execPath, [join(root, 'remote-runner/bin/tuneyard.mjs'), 'dataset', '--stdio'], {
  stdio: ['pipe', 'pipe', 'inherit'],
  env: { ...process.env, TUNEYARD_HOME: home },
});
await greeting();
const peer = new Peer<DatasetClientContract, DatasetContract>(
  createMessageConnection(new StreamMessageReader(child.stdout), new StreamMessageWriter(child.stdin)),
);
let rows = 0;
const indexed = new Promise<void>((done) => {
  peer.on('dataset/indexed', (told) => {
    rows = told.rows;
    if (told.done) done();
  });
});
peer.listen();
await peer.request('dataset/open', {
  dataset: datasetSchema.parse({ path, template: '{text}' }),
  model: resolve(values.model),
  max_length: 512,
  seed: 42,
});
const opened = (performance.now() - started) / 1000;
const first = await peer.request('dataset/rows', { from: 0, count: SCREEN });
const open_s = (performance.now() - started) / 1000;
say(`open after ${opened.toFixed(2)} s, its first ${first.length} rows after ${open_s.toFixed(2)} s`);

const random = new Random(7);
const took: number[] = [];
const screens = Number(values.screens);
// At once, as far as the index is, and then everywhere.
for (let i = 0; i < screens; i++) {
  if (i === screens / 2) {
    await indexed;
    say(`indexed after ${((performance.now() - started) / 1000).toFixed(1)} s: ${rows} rows`);
  }
  const from = random.nextInt(Math.max(1, rows - SCREEN));
  await timed(async () => {
    const seen = await peer.request('dataset/rows', { from, count: SCREEN });
    if (seen[0]?.row !== from) throw new Error(`row ${from} was asked for, ${seen[0]?.row} came`);
  });
  await timed(() => peer.request('dataset/sample', { row: from }));
}
took.sort((a, b) => a - b);
const peak = await peakMb();
let report: { report_s: number; report_peak_rss_mb: number } | undefined;
if (values.report) {
  const begun = performance.now();
  const { findings } = await peer.request('dataset/report', {});
  report = { report_s: Math.round((performance.now() - begun) / 1000), report_peak_rss_mb: await peakMb() };
  say(`findings: ${findings.map(({ kind, count }) => `${kind} ${count}`).join(', ')}`);
}
child.stdin.end();
await once(child, 'exit');

const scroll = took[Math.floor(0.95 * took.length)]!;
say(`${took.length} looks: median ${took[took.length >> 1]!.toFixed(1)} ms, longest ${took.at(-1)!.toFixed(1)} ms`);
process.stdout.write(
  `${JSON.stringify({ bench: 'preview', open_s: Number(open_s.toFixed(3)), scroll_ms: Number(scroll.toFixed(1)), peak_rss_mb: peak, ...report, rows, bytes: size })}\n`,
);

/** In 10⁶ bytes. */
async function peakMb(): Promise<number> {
  const status = await readFile(`/proc/${child.pid}/status`, 'utf8').catch(() => '');
  return Math.round((Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1] ?? Number.NaN) * 1024) / 1e6);
}

async function timed(look: () => Promise<unknown>): Promise<void> {
  const start = performance.now();
  await look();
  took.push(performance.now() - start);
}

async function greeting(): Promise<void> {
  let text = '';
  while (!text.includes(SERVE_MARKER) || !text.endsWith('\n')) {
    await once(child.stdout, 'readable');
    text += (child.stdout.read() as Buffer | null)?.toString() ?? '';
  }
}

async function makeFile(): Promise<void> {
  await mkdir(join(tmpdir(), 'tuneyard-bench'), { recursive: true });
  say(`making ${path}`);
  const out = createWriteStream(`${path}.part`);
  const draw = new Random(1);
  for (let written = 0; written < bytes; ) {
    let piece = '';
    while (piece.length < 1 << 20) piece += `${JSON.stringify({ text: textRow(draw) })}\n`;
    written += Buffer.byteLength(piece);
    if (!out.write(piece)) await once(out, 'drain');
  }
  out.end();
  await once(out, 'close');
  await rename(`${path}.part`, path);
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
