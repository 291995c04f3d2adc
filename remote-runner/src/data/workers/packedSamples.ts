/** Samples on their way between threads: end to end, so that they cross in three pieces and not in thousands. */
import type { TuneyardError } from '@protocol/errors';
import type { Sample } from '../tokenize';
import { fromPlain, type PlainError, toPlain } from './workerMessages';

export interface PackedSamples {
  inputIds: Int32Array;
  labels: Int32Array;
  /** [3·samples] tokens, line, 1 where truncated */
  each: Float64Array;
  errors: PlainError[];
}

export function pack(samples: readonly Sample[], errors: readonly TuneyardError[]): PackedSamples {
  const length = samples.reduce((sum, { inputIds }) => sum + inputIds.length, 0);
  const packed: PackedSamples = {
    inputIds: new Int32Array(length),
    labels: new Int32Array(length),
    each: new Float64Array(3 * samples.length),
    errors: errors.map(toPlain),
  };
  let at = 0;
  for (const [i, { inputIds, labels, line, truncated }] of samples.entries()) {
    packed.inputIds.set(inputIds, at);
    packed.labels.set(labels, at);
    packed.each.set([inputIds.length, line, truncated ? 1 : 0], 3 * i);
    at += inputIds.length;
  }
  return packed;
}

export function unpack({ inputIds, labels, each, errors }: PackedSamples): {
  samples: Sample[];
  errors: TuneyardError[];
} {
  const samples: Sample[] = [];
  let at = 0;
  for (let i = 0; i < each.length; i += 3) {
    const end = at + each[i]!;
    samples.push({
      inputIds: inputIds.subarray(at, end),
      labels: labels.subarray(at, end),
      line: each[i + 1]!,
      truncated: each[i + 2] === 1,
    });
    at = end;
  }
  return { samples, errors: errors.map(fromPlain) };
}
