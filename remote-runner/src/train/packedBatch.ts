/**
 * A batch as the body computes it: real tokens close together, so that padding costs attention alone. The number of
 * packed rows is rounded up to a 24th of the padded batch, so that a few compiled graphs serve every batch.
 */
import type { Batch } from '../data/collate';
import { type TensorViews, view } from '../engine/engine';
import { type BatchShape, BODY } from './bodyProgram';

export interface PackedBatch {
  readonly shape: BatchShape;
  /** ids, positions and, where anything is packed, the places of rows. */
  readonly inputs: TensorViews;
  /** [S] packed rows of the hidden states whose next token is learned. */
  readonly rows: Int32Array;
  /** [S] the ids of those next tokens. */
  readonly targets: Int32Array;
}

const STEPS = 24;

/** Rows that hold `real` tokens of a batch of `places`. */
function packedRows(real: number, places: number): number {
  const granule = Math.max(1, Math.ceil(places / STEPS));
  return Math.min(places, Math.ceil(real / granule) * granule);
}

export function packBatch(batch: Batch): PackedBatch {
  const { batchSize, length, inputIds, lengths, rows, targets } = batch;
  const places = batchSize * length;
  const tokens = packedRows(
    lengths.reduce((sum, n) => sum + n, 0),
    places,
  );
  const shape: BatchShape = { batch: batchSize, length, tokens };
  if (tokens === places) {
    const positions = BigInt64Array.from({ length: places }, (_, place) => BigInt(place % length));
    return {
      shape,
      inputs: { [BODY.ids]: view(inputIds, [places]), [BODY.positions]: view(positions, [places]) },
      rows,
      targets,
    };
  }
  // A row that only fills up is token 0 at position 0 and goes nowhere; padding comes from nowhere.
  const ids = new BigInt64Array(tokens);
  const positions = new BigInt64Array(tokens);
  const rowOfPlace = new BigInt64Array(places).fill(BigInt(tokens));
  const placeOfRow = new BigInt64Array(tokens).fill(BigInt(places));
  let row = 0;
  for (let b = 0; b < batchSize; b++) {
    for (let t = 0; t < lengths[b]!; t++) {
      const place = b * length + t;
      ids[row] = inputIds[place]!;
      positions[row] = BigInt(t);
      rowOfPlace[place] = BigInt(row);
      placeOfRow[row] = BigInt(place);
      row++;
    }
  }
  return {
    shape,
    inputs: {
      [BODY.ids]: view(ids, [tokens]),
      [BODY.positions]: view(positions, [tokens]),
      [BODY.rowOfPlace]: view(rowOfPlace, [places]),
      [BODY.placeOfRow]: view(placeOfRow, [tokens]),
    },
    rows: rows.map((place) => Number(rowOfPlace[place])),
    targets,
  };
}
