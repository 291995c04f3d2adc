/** What a person wants to know of some samples before training on them. */
import type { DatasetStats, LengthBin } from '@protocol/preview';
import { type Sample, supervisedTokens } from './tokenize';

const MOST_BINS = 12;
const MOST_EXAMPLES = 10;

/** Counts over samples. */
export function datasetStats(samples: readonly Sample[]): DatasetStats {
  const lengths = samples.map(({ inputIds }) => inputIds.length).sort((a, b) => a - b);
  const tokens = sum(lengths);
  const supervised = sum(samples.map(supervisedTokens));
  const truncated = samples.filter((sample) => sample.truncated).length;
  return {
    samples: samples.length,
    tokens,
    supervised,
    supervisedShare: ratio(supervised, tokens),
    truncated,
    truncatedShare: ratio(truncated, samples.length),
    lengths: {
      min: lengths[0] ?? 0,
      median: quantile(lengths, 0.5),
      mean: ratio(tokens, samples.length),
      p95: quantile(lengths, 0.95),
      max: lengths.at(-1) ?? 0,
    },
    histogram: lengthHistogram(lengths),
    duplicates: findDuplicates(samples),
  };
}

/** Bins of one width (a multiple of 8) that hold every length, at most twelve. */
function lengthHistogram(sorted: readonly number[]): LengthBin[] {
  if (sorted.length === 0) return [];
  const first = Math.floor((sorted[0]! - 1) / 8) * 8;
  const width = Math.max(8, Math.ceil((sorted.at(-1)! - first) / MOST_BINS / 8) * 8);
  const bins: LengthBin[] = [];
  for (const length of sorted) {
    const index = Math.floor((length - 1 - first) / width);
    while (bins.length <= index) {
      const from = first + bins.length * width + 1;
      bins.push({ from, to: from + width - 1, count: 0 });
    }
    bins[index]!.count++;
  }
  return bins;
}

function findDuplicates(samples: readonly Sample[]): DatasetStats['duplicates'] {
  const firstLines = new Map<string, number>();
  const examples: { line: number; sameAs: number }[] = [];
  let count = 0;
  for (const { inputIds, line } of samples) {
    const key = Buffer.from(inputIds.buffer, inputIds.byteOffset, inputIds.byteLength).toString('latin1');
    const sameAs = firstLines.get(key);
    if (sameAs === undefined) {
      firstLines.set(key, line);
      continue;
    }
    count++;
    if (examples.length < MOST_EXAMPLES) examples.push({ line, sameAs });
  }
  return { count, examples };
}

/** The smallest value that at least that share of the values does not exceed (nearest rank). */
function quantile(sorted: readonly number[], share: number): number {
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? 0;
}

function sum(values: readonly number[]): number {
  return values.reduce((a, b) => a + b, 0);
}

function ratio(part: number, whole: number): number {
  return whole === 0 ? 0 : part / whole;
}
