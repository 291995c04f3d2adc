/** A candidate for the next merge: how often the pair comes, and the pair as one number. */
export interface MergeCandidate {
  count: number;
  key: number;
}

/** A binary heap (Williams 1964) with the highest count on top and, of equal counts, the lowest key. */
export class MergeHeap {
  private readonly items: MergeCandidate[] = [];

  push(count: number, key: number): void {
    const items = this.items;
    let at = items.push({ count, key }) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!before(items[at]!, items[parent]!)) return;
      this.swap(at, parent);
      at = parent;
    }
  }

  pop(): MergeCandidate | undefined {
    const items = this.items;
    const top = items[0];
    const last = items.pop();
    if (!top || !last || items.length === 0) return top;
    items[0] = last;
    for (let at = 0; ; ) {
      const left = 2 * at + 1;
      const right = left + 1;
      let best = at;
      if (left < items.length && before(items[left]!, items[best]!)) best = left;
      if (right < items.length && before(items[right]!, items[best]!)) best = right;
      if (best === at) return top;
      this.swap(at, best);
      at = best;
    }
  }

  private swap(a: number, b: number): void {
    const items = this.items;
    const held = items[a]!;
    items[a] = items[b]!;
    items[b] = held;
  }
}

function before(a: MergeCandidate, b: MergeCandidate): boolean {
  return a.count > b.count || (a.count === b.count && a.key < b.key);
}
