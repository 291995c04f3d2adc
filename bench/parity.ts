/**
 * How near the runner comes to transformers, over all reference fixtures: logits, loss and every gradient of tiny random
 * models, 20 steps under Trainer, greedy and beam generations. Deviation is max|ours − reference| / max|reference| over
 * one tensor; the worst counts. Exit status 1 where a limit is missed.
 *
 * usage: npm run bench -- parity
 */
import { NativeEngine } from '@runner/engine/native';
import { createDecoder } from '@runner/generate/kvCache';
import { newBuilder, ops } from '@runner/ops/index';
import { decodeCase, tokensOf } from '../test/reference/decodeCase';
import { gradientDeviations, logitsOf, lossOf, openReference } from '../test/reference/evaluation';
import {
  deviation,
  GENERATION_MODELS,
  GRADIENT_MODELS,
  REFERENCE_MODELS,
  REFERENCE_VARIANTS,
  readCase,
  readGenerations,
  TRAINING_RUNS,
} from '../test/reference/fixtures';
import { trainReference } from '../test/reference/trainReference';

const LIMITS = { logits: 1e-4, loss: 1e-4, gradient: 1e-4, loss20: 1e-3 };
const worst = { logits: 0, loss: 0, gradient: 0, loss20: 0 };

/** Takes `value` into the worst of its kind. A NaN is worse than anything. */
function note(kind: keyof typeof worst, value: number): number {
  if (!(value <= worst[kind])) worst[kind] = Number.isNaN(value) ? Number.POSITIVE_INFINITY : value;
  return value;
}

const row = (name: string, ...cells: string[]) =>
  console.log(name.padEnd(18) + cells.map((cell) => cell.padStart(15)).join(''));
const figure = (value: number) => value.toExponential(1);

row('model', 'logits', 'loss', 'gradients', 'worst in');
for (const name of [...REFERENCE_MODELS, ...REFERENCE_VARIANTS]) {
  const reference = await readCase(name);
  const opened = await openReference(name);
  const logits: number[] = [];
  const losses: number[] = [];
  for (const [n, batch] of reference.batches.entries()) {
    logits.push(note('logits', deviation(await logitsOf(opened, batch), await reference.tensors.read(`${n}.logits`))));
    losses.push(note('loss', deviation([await lossOf(opened, batch)], [batch.loss])));
  }
  let gradients: [string, string] = ['–', ''];
  if (GRADIENT_MODELS.some((known) => known === name)) {
    const found = (await gradientDeviations(opened, reference)).map(({ parameter, alone, added }) => ({
      parameter,
      worst: note('gradient', Math.max(alone, added)),
    }));
    const [first] = found.sort((a, b) => b.worst - a.worst);
    gradients = [figure(first!.worst), `  ${first!.parameter}`];
  }
  row(name, figure(Math.max(...logits)), figure(Math.max(...losses)), ...gradients);
  await opened.step.release();
}

console.log();
row('under Trainer', 'steps', 'loss', 'gradient norm', 'final weights', 'worst in');
for (const name of TRAINING_RUNS) {
  const { reference, logs, parameters, savedName } = await trainReference(name);
  const of = (key: 'loss' | 'grad_norm') =>
    reference.steps.map((step, i) => deviation([logs[i]?.[key] ?? Number.NaN], [step[key]]));
  let weights = { name: '', worst: 0 };
  for (const { name } of parameters.layout.tensors) {
    const found = deviation(parameters.slice(name), await reference.finalParameters.read(savedName(name)));
    if (found > weights.worst) weights = { name, worst: found };
  }
  row(
    name,
    String(logs.length),
    figure(note('loss20', Math.max(...of('loss')))),
    figure(Math.max(...of('grad_norm'))),
    figure(weights.worst),
    `  ${weights.name}`,
  );
}

console.log();
row('generations', 'greedy', 'beams');
let unequal = 0;
const engine = new NativeEngine(ops);
for (const name of GENERATION_MODELS) {
  const reference = readGenerations(name);
  const opened = await openReference(name);
  const decoder = await createDecoder({ engine, newBuilder, model: opened.model, parameters: opened.parameters });
  const equal = { greedy: 0, beams: 0 };
  const all = { greedy: 0, beams: 0 };
  for (const entry of reference.cases) {
    const kind = (entry.options.num_beams ?? 1) === 1 ? 'greedy' : 'beams';
    const { tokens } = await decodeCase(decoder, reference, entry);
    const expected = tokensOf(entry);
    all[kind] += expected.length;
    equal[kind] += expected.filter((beams, prompt) => JSON.stringify(beams) === JSON.stringify(tokens[prompt])).length;
  }
  unequal += all.greedy + all.beams - equal.greedy - equal.beams;
  row(name, `${equal.greedy} of ${all.greedy}`, `${equal.beams} of ${all.beams}`);
  await decoder.release();
  await opened.step.release();
}

const missed = (Object.keys(LIMITS) as (keyof typeof LIMITS)[]).filter((kind) => !(worst[kind] <= LIMITS[kind]));
console.log();
console.log(
  missed.length + unequal === 0
    ? 'all within the limits'
    : `missed: ${[...missed, `${unequal} generations`].join(', ')}`,
);
if (missed.length + unequal > 0) process.exitCode = 1;
const rounded = (value: number) => Number(value.toPrecision(3));
console.log(
  JSON.stringify({
    bench: 'parity',
    worst_logits: rounded(worst.logits),
    worst_loss: rounded(worst.loss),
    worst_gradient: rounded(worst.gradient),
    worst_loss20: rounded(worst.loss20),
    unequal_generations: unequal,
  }),
);
