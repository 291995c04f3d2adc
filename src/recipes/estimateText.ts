/** What a run will need, as a page: a table, and a verdict for each place it could run. */
import { gpuBytes, gpusThatFit, offloads } from '@protocol/gpuMemory';
import type { Estimate } from '@protocol/runner';
import * as l10n from '@vscode/l10n';
import { formatBytes, formatCount } from '../ui/format';
import { type HostMemory, neededBytes } from './hostMemory';

export function estimateText(name: string, estimate: Estimate, places: readonly HostMemory[]): string {
  const { parameters, trainable_parameters: trained, batch, length, total_steps: steps } = estimate;
  const parts: [string, number][] = [
    [l10n.t('Weights'), estimate.weights_bytes],
    [l10n.t('Gradients'), estimate.gradients_bytes],
    [l10n.t('Optimizer'), estimate.optimizer_bytes],
    [l10n.t('Activations'), estimate.activations_bytes],
    [l10n.t('Working buffers'), estimate.working_bytes],
    [l10n.t('Process and data'), estimate.process_bytes],
    [l10n.t('Memory at the peak'), estimate.peak_bytes],
  ];
  const disk: [string, number][] = [
    [l10n.t('A checkpoint'), estimate.checkpoint_bytes],
    [l10n.t('Disk in all'), estimate.disk_bytes],
  ];
  return [
    l10n.t('Estimate for {0}', name),
    '',
    l10n.t('{0} weights, {1} of them trained', formatCount(parameters), formatCount(trained)),
    l10n.t('Batches of {0} × {1} tokens, {2} steps', batch, length, steps),
    '',
    ...places.map((place) => verdict(estimate, place)),
    gpuVerdict(estimate),
    ...offloadVerdicts(estimate),
    '',
    ...table(parts),
    '',
    ...table(disk),
    '',
  ].join('\n');
}

/** Which GPUs one could rent for it. */
function gpuVerdict(estimate: Estimate): string {
  const needed = formatBytes(gpuBytes(estimate));
  const names = gpusThatFit(estimate);
  return names.length === 0
    ? l10n.t('On one GPU: {0}, more than any of them has.', needed)
    : l10n.t('On one GPU: {0}; {1} have so much.', needed, names.join(', '));
}

/** Which more, with some of it on the host. */
function offloadVerdicts(estimate: Estimate): string[] {
  return offloads(estimate).map(({ name, bytes, gpus }) =>
    l10n.t('With "{0}": {1}; {2} have so much.', name, formatBytes(bytes), gpus.join(', ')),
  );
}

/** One line: whether it fits there. */
export function verdict(estimate: Estimate, place: HostMemory): string {
  const needed = formatBytes(neededBytes(estimate, place));
  const free = formatBytes(place.bytes);
  if (neededBytes(estimate, place) > place.bytes) {
    return l10n.t('✗ {0}: does not fit. It needs {1}, and {2} are free.', place.label, needed, free);
  }
  return l10n.t('✓ {0}: fits. It needs {1} of {2} free.', place.label, needed, free);
}

function table(rows: readonly [string, number][]): string[] {
  const names = Math.max(...rows.map(([name]) => width(name)));
  const values = rows.map(([, bytes]) => formatBytes(bytes));
  const widest = Math.max(...values.map((value) => value.length));
  return rows.map(([name], i) => `${name}${' '.repeat(names - width(name))}   ${values[i]!.padStart(widest)}`);
}

/** Columns a text takes: Chinese characters take two. */
function width(text: string): number {
  return [...text].reduce((sum, char) => sum + (/[\u2e80-\uffef]/.test(char) ? 2 : 1), 0);
}
