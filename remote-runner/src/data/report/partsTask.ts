import { TuneyardError } from '@protocol/errors';
import { openSpec } from '../index/openSpec';
import { rowFilter } from '../rowFilter';
import type { TaskHandlers } from '../workers/tasks';
import { partsOf } from './partsOf';

const ROWS_AT_ONCE = 1_000;

/** What a filter leaves out is known only when every row was read. */
export const partsTask: TaskHandlers['parts'] = async (params, _, signal) => {
  const { recipe, seed, rows, heldOut, files } = params;
  const keeps = rowFilter(recipe.filter);
  if (!keeps) return { parts: partsOf(recipe, seed, rows, heldOut) };
  const leftOut = new Uint8Array(rows.reduce((a, b) => a + b, 0));
  let first = 0;
  for (const [file, spec] of files.entries()) {
    const source = await openSpec(spec);
    try {
      for (let from = 0; from < rows[file]!; from += ROWS_AT_ONCE) {
        if (signal.aborted) throw new TuneyardError('cancelled', 'cancelled.');
        for (const { row, values } of await source.read(from, ROWS_AT_ONCE, signal)) {
          if (values && !keeps(values)) leftOut[first + row] = 1;
        }
      }
    } finally {
      await source.close();
    }
    first += rows[file]!;
  }
  return { parts: partsOf(recipe, seed, rows, heldOut, (row) => leftOut[row] === 1), leftOut };
};
