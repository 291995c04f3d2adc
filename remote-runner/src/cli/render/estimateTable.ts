import { gpuBytes, gpusThatFit, offloads } from '@protocol/gpuMemory';
import type { Estimate } from '@protocol/runner';
import { formatCount, formatDuration } from '../format';
import type { Output } from '../output';
import { plainTable } from '../table';

/** Memory and disk by what takes them, in GB, and whether there is so much. */
export function estimateTable(estimate: Estimate, colors: Output['colors']): string {
  const parts: [string, number][] = [
    ['Weights', estimate.weights_bytes],
    ['Gradients', estimate.gradients_bytes],
    ['Optimizer', estimate.optimizer_bytes],
    ['Activations', estimate.activations_bytes],
    ['Working buffers', estimate.working_bytes],
    ['Process', estimate.process_bytes],
  ];
  const rows = parts.map(([name, bytes]) => [name, gigabytes(bytes), '']);
  const judged = (needed: number, free: number) =>
    needed <= free ? colors.green(`of ${gigabytes(free)} free`) : colors.red(`only ${gigabytes(free)} free`);
  rows.push(
    [
      colors.bold('Memory, peak'),
      gigabytes(estimate.peak_bytes),
      judged(estimate.peak_bytes, estimate.free_memory_bytes),
    ],
    ...(estimate.measured ? [['Measured peak', gigabytes(estimate.measured.peak_bytes), '']] : []),
    ['A checkpoint', gigabytes(estimate.checkpoint_bytes), ''],
    [
      colors.bold('Disk, in all'),
      gigabytes(estimate.disk_bytes),
      judged(estimate.disk_bytes, estimate.free_disk_bytes),
    ],
  );
  const { model, parameters, trainable_parameters: trained, batch, length, total_steps: steps, measured } = estimate;
  const lines = [
    `${model}: ${formatCount(parameters)} weights, ${formatCount(trained)} trained, batches of ${batch} × ${length} tokens, ${steps} steps`,
    '',
    plainTable(['', 'GB', ''], rows, [1]),
  ];
  const fitting = gpusThatFit(estimate);
  const fits = fitting.length > 0 ? `fits ${fitting.join(', ')}` : 'more than any GPU has';
  lines.push('', `On one GPU: ${gigabytes(gpuBytes(estimate))} GB; ${fits}.`);
  for (const { name, bytes, gpus } of offloads(estimate))
    lines.push(`With "${name}": ${gigabytes(bytes)} GB; fits ${gpus.join(', ')}.`);
  if (measured) {
    const all = formatDuration(measured.step_seconds * steps);
    lines.push('', `A step took ${formatDuration(measured.step_seconds)}: about ${all} for all ${steps}.`);
  }
  return lines.join('\n');
}

/** Decimal: 1 GB is 10⁹ bytes. */
function gigabytes(bytes: number): string {
  return (bytes / 1e9).toFixed(bytes < 1e8 ? 3 : 2);
}
