/** How long each rank of a run computes: a rank that takes longer than the others keeps all of them waiting. */

/** Of the last so many log events. */
const KEPT = 10;

export class RankTimes {
  #recent: (readonly number[])[] = [];

  add(seconds: readonly number[] | undefined): void {
    if (!seconds || seconds.length !== this.#recent[0]?.length) this.#recent = [];
    if (seconds) this.#recent = [...this.#recent, seconds].slice(-KEPT);
  }

  /** Mean seconds a step, by rank; none where there is one rank, or nothing is known yet. */
  get means(): number[] {
    const [first = []] = this.#recent;
    return first.map((_, rank) => this.#recent.reduce((sum, each) => sum + each[rank]!, 0) / this.#recent.length);
  }
}
