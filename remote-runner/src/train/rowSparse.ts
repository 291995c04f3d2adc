/**
 * Adds rows to a matrix: the gradient of an embedding look-up. Done on the host, in order, because ONNX Runtime's
 * ScatterND loses sums when ids repeat and threads race, and a dense scatter would touch the whole table.
 *
 * @param matrix [n, width], row-major
 * @param indices [k] row numbers; they repeat
 * @param rows [k, width]
 */
export function addRows(matrix: Float32Array, indices: BigInt64Array, rows: Float32Array, width: number): void {
  for (let i = 0; i < indices.length; i++) {
    const to = Number(indices[i]) * width;
    const from = i * width;
    for (let j = 0; j < width; j++) matrix[to + j] = matrix[to + j]! + rows[from + j]!;
  }
}
