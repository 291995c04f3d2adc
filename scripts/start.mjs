/**
 * `npm start`: from a fresh clone to a fine-tuned model. Installs, builds, trains the example, and shows what the model
 * wrote before and writes now. What follows `--` goes to `tuneyard train`: `npm start -- --set max_steps=20`.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { build } from './build.mjs';
import { node, root } from './lib/command.mjs';
import { install } from './lib/install.mjs';

const RECIPE = 'examples/default/default.tune.json';
const MODEL = 'examples/default/model';
const TUNEYARD = 'remote-runner/bin/tuneyard.mjs';

process.exitCode = await main();

async function main() {
  const say = (line) => process.stdout.write(`${line}\n`);
  if (!(await install(say))) return 1;
  say('Building');
  if (!(await build(() => {}))) return 1;

  const stamp = new Date().toISOString().slice(0, 19).replace(/[-:]/g, '').replace('T', '-');
  const runDir = join(root, '.tuneyard', 'runs', `example-${stamp}`);
  say(`Training ${RECIPE}\n`);
  const trained = await node([TUNEYARD, 'train', RECIPE, '--run-dir', runDir, ...process.argv.slice(2)]);
  if (trained !== 0) return trained;

  const events = readFileSync(join(runDir, 'events.jsonl'), 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));
  const end = events.findLast((event) => event.type === 'end');
  if (end?.status !== 'completed' || !end.model_path) return 0; // stopped by hand: the runner has said how to go on

  say('\nThe same prompts, before and after\n');
  const compared = await node([TUNEYARD, 'compare', MODEL, end.model_path, '--recipe', RECIPE]);
  say('');
  for (const line of summary(events)) say(line);
  const report = join(runDir, 'report.html');
  if (existsSync(report)) say(`Report           ${report}`);
  return compared;
}

function summary(events) {
  const losses = events.filter((event) => event.type === 'log').map((event) => event.loss);
  const evals = events.filter((event) => event.type === 'eval');
  const best = evals.find((event) => event.step === events.at(-1)?.best_step) ?? evals.at(-1);
  return [
    ...(losses.length > 0 ? [`Loss             ${losses[0].toFixed(2)} → ${losses.at(-1).toFixed(2)}`] : []),
    ...(best ? [`Evaluation loss  ${best.eval_loss.toFixed(2)} (perplexity ${best.eval_perplexity.toFixed(1)})`] : []),
  ];
}
