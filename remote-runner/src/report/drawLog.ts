/** Turns log events into columns that a page can draw, thinned where there are more than it needs. */
import type { LogEvent } from '@protocol/events';
import type { ReportLog } from '@protocol/report';

export type TimedLog = Omit<LogEvent, 'type'> & { seconds: number };

/** A screen is about so wide; each bin keeps up to three events. */
const BINS = 1200;

/**
 * Columns of the log. Of a long log each bin of neighbouring events keeps its lowest and highest loss and its highest
 * gradient norm, so that a spike stays visible however many steps the run had.
 */
export function drawLog(events: readonly TimedLog[]): { log: ReportLog; log_events: number } {
  const smooth = smoothed(events.map((event) => event.loss));
  const kept = events.length > 3 * BINS ? extremes(events) : events.map((_, i) => i);
  const column = (key: keyof TimedLog) => kept.map((i) => finite(events[i]![key]));
  const numbers = (key: keyof TimedLog) => kept.map((i) => Number(events[i]![key]));
  return {
    log_events: events.length,
    log: {
      step: numbers('step'),
      seconds: numbers('seconds'),
      tokens_seen: numbers('tokens_seen'),
      loss: column('loss'),
      smooth: kept.map((i) => smooth[i]!),
      learning_rate: column('learning_rate'),
      grad_norm: column('grad_norm'),
      tokens_per_second: column('tokens_per_second'),
      memory_bytes: column('memory_bytes'),
    },
  };
}

const finite = (value: unknown): number | null => (typeof value === 'number' && Number.isFinite(value) ? value : null);

function extremes(events: readonly TimedLog[]): number[] {
  const kept = new Set<number>([0, events.length - 1]);
  for (let bin = 0; bin < BINS; bin++) {
    const from = Math.floor((bin * events.length) / BINS);
    const to = Math.floor(((bin + 1) * events.length) / BINS);
    let low = from;
    let high = from;
    let steep = from;
    for (let i = from; i < to; i++) {
      if (events[i]!.loss < events[low]!.loss) low = i;
      if (events[i]!.loss > events[high]!.loss) high = i;
      if (events[i]!.grad_norm > events[steep]!.grad_norm) steep = i;
    }
    kept.add(low).add(high).add(steep);
  }
  return [...kept].sort((a, b) => a - b);
}

/**
 * Exponential moving average over about a thirtieth of the run, without the pull towards zero at its start:
 * m ← β·m + (1−β)·x, shown as m / (1−βᵗ).
 */
function smoothed(values: readonly number[]): (number | null)[] {
  const span = Math.min(500, Math.max(4, values.length / 30));
  const beta = 1 - 2 / (span + 1);
  let mean = 0;
  let weight = 0;
  return values.map((value) => {
    if (finite(value) === null) return null;
    mean = beta * mean + (1 - beta) * value;
    weight = beta * weight + (1 - beta);
    return mean / weight;
  });
}
