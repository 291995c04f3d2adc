/** Figures over lengths that are counted, not listed: a data set has few different ones. */
import type { DatasetReport } from '@protocol/dataset';

const MOST_BINS = 24;

/** Length → how many rows have it. */
export type LengthCounts = ReadonlyMap<number, number>;

export function lengthFigures(counts: LengthCounts): DatasetReport['lengths'] {
  const lengths = [...counts.keys()].sort((a, b) => a - b);
  let rows = 0;
  let sum = 0;
  for (const [length, count] of counts) {
    rows += count;
    sum += length * count;
  }
  // The smallest length that at least that share of the rows does not exceed (nearest rank).
  const quantile = (share: number): number => {
    let seen = 0;
    for (const length of lengths) {
      seen += counts.get(length)!;
      if (seen >= Math.max(1, Math.ceil(rows * share))) return length;
    }
    return 0;
  };
  return {
    min: lengths[0] ?? 0,
    median: quantile(0.5),
    mean: rows === 0 ? 0 : sum / rows,
    p95: quantile(0.95),
    max: lengths.at(-1) ?? 0,
  };
}

/** Bins of one width that hold every length: to the 99.5th percentile in steps, and what is longer in the last. */
export function lengthBins(counts: LengthCounts): DatasetReport['histogram'] {
  const lengths = [...counts.keys()].sort((a, b) => a - b);
  if (lengths.length === 0) return [];
  const rows = [...counts.values()].reduce((a, b) => a + b, 0);
  let last = lengths.at(-1)!;
  let seen = 0;
  for (const length of lengths) {
    seen += counts.get(length)!;
    if (seen >= 0.995 * rows) {
      last = length;
      break;
    }
  }
  const width = roundWidth(last / MOST_BINS);
  const bins: DatasetReport['histogram'] = [];
  const most = Math.max(1, Math.ceil(last / width));
  for (let i = 0; i < most; i++) bins.push({ from: i * width + 1, to: (i + 1) * width, count: 0 });
  for (const [length, count] of counts)
    bins[Math.min(most - 1, Math.max(0, Math.ceil(length / width) - 1))]!.count += count;
  const end = bins.at(-1)!;
  end.to = Math.max(end.to, lengths.at(-1)!);
  return bins;
}

/** 1, 2, 4, 5 or 8 times a power of ten: edges that a person reads at once. */
function roundWidth(width: number): number {
  const power = 10 ** Math.floor(Math.log10(Math.max(1, width)));
  return [1, 2, 4, 5, 8, 10].map((factor) => factor * power).find((round) => round >= width) ?? 10 * power;
}
