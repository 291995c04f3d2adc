/** Rows by the hash of their text: an open-addressing table in 4 bytes a place, so that ten million rows fit. */
export class RowTable {
  readonly #slots: Uint32Array;
  readonly #mask: number;

  /** @param hashes [2·n] two numbers a row; may still grow in content, not in place */
  constructor(
    private readonly hashes: Uint32Array,
    rows: number,
  ) {
    let size = 16;
    while (size < 1.5 * rows) size *= 2;
    this.#slots = new Uint32Array(size);
    this.#mask = size - 1;
  }

  /** The first row with the text of this one, which is kept if it is the first itself. */
  firstLike(row: number): number {
    const slot = this.#find(row);
    const known = this.#slots[slot]!;
    if (known > 0) return known - 1;
    this.#slots[slot] = row + 1;
    return row;
  }

  /** A row that was kept and has the text of this one. */
  like(row: number): number | undefined {
    const known = this.#slots[this.#find(row)]!;
    return known > 0 ? known - 1 : undefined;
  }

  #find(row: number): number {
    const { hashes } = this;
    const high = hashes[2 * row]!;
    const low = hashes[2 * row + 1]!;
    for (let slot = (high ^ Math.imul(low, 0x9e3779b1)) & this.#mask; ; slot = (slot + 1) & this.#mask) {
      const known = this.#slots[slot]!;
      if (known === 0 || (hashes[2 * known - 2] === high && hashes[2 * known - 1] === low)) return slot;
    }
  }
}
