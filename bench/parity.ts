/**
 * How near the runner comes to transformers, over all reference fixtures: logits, loss and every gradient of tiny random
 * models, 20 steps under Trainer, greedy and beam generations. Deviation is max|ours − reference| / max|reference| over
 * one tensor; the worst counts. Exit status 1 where a limit is missed.
 *
 * usage: npm run bench -- parity [--write]
 * --write: the table goes into docs/parity.md.
 */
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { NativeEngine } from '@runner/engine/native';
import { createDecoder } from '@runner/generate/kvCache';
import { newBuilder, ops } from '@runner/ops/index';
import { decodeCase, tokensOf } from '../test/reference/decodeCase';
import {
  gradientDeviations,
  gradientNames,
  logitsOf,
  lossOf,
  type OpenedReference,
  openAdapted,
  openReference,
} from '../test/reference/evaluation';
import {
  ADAPTERS,
  deviation,
  GENERATION_MODELS,
  GRADIENT_MODELS,
  QUANTIZED_ADAPTERS,
  REFERENCE_MODELS,
  REFERENCE_VARIANTS,
  type ReferenceCase,
  readAdapter,
  readAdapterTensors,
  readCase,
  readGenerations,
  SOFT_ADAPTERS,
  TRAINING_RUNS,
} from '../test/reference/fixtures';
import { trainReference } from '../test/reference/trainReference';

const { values } = parseArgs({ options: { write: { type: 'boolean', default: false } } });

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

/** What is written into the documentation, by the name of a fixture. */
interface Parity {
  kind: string;
  logits?: number;
  loss?: number;
  gradient?: number;
  loss20?: number;
}
const rows = new Map<string, Parity>();

interface Deviations {
  readonly logits: number;
  readonly loss: number;
  readonly gradients?: readonly { parameter: string; worst: number }[];
}

async function deviationsOf(
  opened: OpenedReference,
  { batches, tensors }: Pick<ReferenceCase, 'batches' | 'tensors'>,
  named?: (parameter: string) => string,
  hasGradients = true,
): Promise<Deviations> {
  const [logits, losses]: number[][] = [[], []];
  for (const [n, batch] of batches.entries()) {
    logits!.push(note('logits', deviation(await logitsOf(opened, batch), await tensors.read(`${n}.logits`))));
    losses!.push(note('loss', deviation([await lossOf(opened, batch)], [batch.loss])));
  }
  const gradients = hasGradients
    ? (await gradientDeviations(opened, { batches, tensors }, named))
        .map(({ parameter, alone, added }) => ({ parameter, worst: note('gradient', Math.max(alone, added)) }))
        .sort((a, b) => b.worst - a.worst)
    : undefined;
  await opened.step.release();
  return { logits: Math.max(...logits!), loss: Math.max(...losses!), ...(gradients && { gradients }) };
}

function show(name: string, kind: string, { logits, loss, gradients }: Deviations): void {
  const [first] = gradients ?? [];
  rows.set(name, { kind, logits, loss, ...(first && { gradient: first.worst }) });
  row(name, figure(logits), figure(loss), first ? figure(first.worst) : '–', first ? `  ${first.parameter}` : '');
}

row('model', 'logits', 'loss', 'gradients', 'worst in');
for (const name of [...REFERENCE_MODELS, ...REFERENCE_VARIANTS]) {
  const opened = await openReference(name);
  const hasGradients = GRADIENT_MODELS.some((known) => known === name);
  show(name, opened.model.modelType, await deviationsOf(opened, await readCase(name), undefined, hasGradients));
}
for (const name of [...ADAPTERS, ...QUANTIZED_ADAPTERS, ...SOFT_ADAPTERS]) {
  const opened = await openAdapted(name);
  const { batches, kind, model, quantized } = readAdapter(name);
  const tensors = await readAdapterTensors(name);
  const names = gradientNames(name, tensors.names());
  const what = `${kind}${quantized ? ` beside ${quantized.toUpperCase()}` : ''}, ${(await openReference(model)).model.modelType}`;
  show(name, what, await deviationsOf(opened, { batches, tensors }, (parameter) => names.get(parameter)!));
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
  const loss20 = note('loss20', Math.max(...of('loss')));
  const { adapter, model } = reference;
  const kind = adapter ? `as ${adapter}, B faster` : `as ${model}, by epochs`;
  rows.set(name, { ...(rows.get(name) ?? { kind }), loss20 });
  row(
    name,
    String(logs.length),
    figure(loss20),
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

if (values.write) await writeFile('docs/parity.md', document());

function document(): string {
  const versions = JSON.parse(readFileSync('test/reference/fixtures/versions.json', 'utf8')) as Record<string, string>;
  const of = (name: string) => `${name} ${versions[name]}`;
  const cell = (value: number | undefined) => (value === undefined ? '–' : value.toExponential(1));
  const table = [...rows].map(
    ([name, { kind, logits, loss, gradient, loss20 }]) =>
      `| ${name} | ${kind} | ${[logits, loss, gradient, loss20].map(cell).join(' | ')} |`,
  );
  return `# How near it comes to transformers and PEFT

Written by \`npm run bench -- parity --write\`. Tiny models with random weights and odd sizes, batches with uneven rows; the
reference is ${['torch', 'transformers', 'peft', 'bitsandbytes'].map(of).join(', ')}, in float32 on a CPU.

A figure is the largest difference as a share of the largest number of the reference: over all logits, the loss, every
gradient (alone, and of two batches added up), and the loss at each of 20 steps under transformers' Trainer (AdamW, warm-up, weight
decay, clipping, accumulation). – : not measured.

| model or adapter | architecture or method | logits | loss | gradients | 20 losses |
|---|---|---|---|---|---|
${table.join('\n')}
`;
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
