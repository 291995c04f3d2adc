/**
 * `npm run bench -- chart [--points N] [--updates N]`: what an update of the loss panel costs its page's main thread when
 * the run has a million points. The real page in a real browser, fed by the real thinning in the host as rows come in.
 */
import { setTimeout } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { LossModel } from '@host/panels/lossModel';
import type { LossFrame, LossHostContract, LossPageContract } from '@protocol/panels';
import { ColumnRuns, mulberry, noHosts, pushTrained, trainedRun } from '../test/unit/webview/support/columnRuns';
import { openBrowser, openPanel, WITHOUT_CHROMIUM } from '../test/unit/webview/support/panelPage';

const { values } = parseArgs({
  options: { points: { type: 'string', default: '1000000' }, updates: { type: 'string', default: '80' } },
});
const points = Number(values.points);
const updates = Number(values.updates);
/** The first ones run code that the browser has not compiled yet. */
const WARM_UP = 10;

if (WITHOUT_CHROMIUM) {
  process.stderr.write(`The benchmark ${WITHOUT_CHROMIUM}.\n`);
  process.exit(1);
}

const run = trainedRun({ host: 'local', run: 'bench' }, points, {
  capacity: points + 50 * (updates + WARM_UP),
  gpus: true,
});
const model = new LossModel({ runs: new ColumnRuns(run), hosts: noHosts }, [run.ref]);
const random = mulberry(7);
const hostMs: number[] = [];
let drawn: ((frame: LossFrame) => void) | undefined;

const browser = await openBrowser();
const panel = await openPanel<LossHostContract, LossPageContract>(browser, {
  name: 'loss',
  width: 1400,
  height: 800,
  serve(peer) {
    model.onDidDraw((frame) => {
      peer.notify('loss/frame', frame);
      drawn?.(frame);
    });
    peer.handle('loss/view', (view) => {
      const start = performance.now();
      const frame = model.draw(view);
      process.stdout.write(`first frame in the host: ${(performance.now() - start).toFixed(0)} ms\n`);
      return frame;
    });
  },
});
await panel.page
  .getByText(/step [\d\u202f]+\//)
  .first()
  .waitFor();
const session = await panel.page.context().newCDPSession(panel.page);
// Of the thread itself, whatever else the machine does.
await session.send('Performance.enable', { timeDomain: 'threadTicks' });

let busyBefore = 0;
let bytes = 0;
for (let i = 0; i < WARM_UP + updates; i++) {
  if (i === WARM_UP) {
    busyBefore = await busySeconds();
    await panel.page.evaluate('performance.clearMeasures()');
  }
  const frame = new Promise<LossFrame>((resolve) => {
    drawn = resolve;
  });
  for (let row = 0; row < 50; row++) pushTrained(run, run.log.length, points, random, true);
  const start = performance.now();
  run.changed();
  bytes = JSON.stringify(await frame).length;
  hostMs.push(performance.now() - start);
  while (i >= WARM_UP && (await counted()) < i - WARM_UP + 1) await setTimeout(60);
}
const took = (
  (await panel.page.evaluate(
    `performance.getEntriesByName('tuneyard.update').map(({ duration }) => duration)`,
  )) as number[]
).sort((a, b) => a - b);
const busy = (1000 * ((await busySeconds()) - busyBefore)) / updates;
const quantile = (share: number) =>
  Number(took[Math.min(took.length - 1, Math.floor(share * took.length))]!.toFixed(2));

process.stdout.write(
  `${run.log.length} points, ${took.length} updates of ${(bytes / 1024).toFixed(0)} kB: p50 ${quantile(0.5)} ms, ` +
    `p95 ${quantile(0.95)} ms of script and drawing; main thread ${busy.toFixed(1)} ms of processor time an update in all, ` +
    `the browser's own work and the measuring with it\n`,
);
await panel.close();
await browser.close();
model.dispose();
process.stdout.write(
  `${JSON.stringify({ bench: 'chart', points: run.log.length, update_ms: quantile(0.95), p50_ms: quantile(0.5), busy_ms: Number(busy.toFixed(2)) })}\n`,
);

async function counted(): Promise<number> {
  return panel.page.evaluate(`performance.getEntriesByName('tuneyard.update').length`);
}

/** Seconds that the page's main thread was at work. */
async function busySeconds(): Promise<number> {
  const { metrics } = await session.send('Performance.getMetrics');
  return metrics.find(({ name }) => name === 'TaskDuration')?.value ?? 0;
}
