/**
 * Seeded random numbers: PCG32 (PCG-XSH-RR 64/32). Source: O'Neill, "PCG: A Family of Simple Fast Space-Efficient
 * Statistically Good Algorithms for Random Number Generation" (2014), and the minimal C library released with it,
 * whose output for the same seed and stream this equals.
 */

// The 64-bit state is kept as two unsigned 32-bit halves: BigInt would be some twenty times slower.
const MULTIPLIER_HIGH = 0x5851f42d;
const MULTIPLIER_LOW = 0x4c957f2d;

/** A deterministic stream of random numbers; the same seed and stream give the same numbers on every machine. */
export class Random {
  private high = 0;
  private low = 0;
  private readonly incrementHigh: number;
  private readonly incrementLow: number;

  /**
   * @param seed a whole number from 0 to 2^53 − 1
   * @param stream a whole number from 0 to 2^52 − 1; streams of one seed are independent of each other
   */
  constructor(seed: number, stream = 0) {
    // PCG's increment is 2·stream + 1: odd, so that every stream has the full period.
    this.incrementHigh = Math.floor(stream / 2 ** 31) >>> 0;
    this.incrementLow = ((stream << 1) | 1) >>> 0;
    this.nextUint32();
    const low = this.low + (seed >>> 0);
    this.low = low >>> 0;
    this.high = (this.high + Math.floor(seed / 2 ** 32) + (low > 0xffffffff ? 1 : 0)) >>> 0;
    this.nextUint32();
  }

  /** Uniform on the whole numbers from 0 to 2^32 − 1. */
  nextUint32(): number {
    const { high, low } = this;
    // state = state × multiplier + increment (mod 2^64)
    const sum = Math.imul(low, MULTIPLIER_LOW) >>> 0;
    const newLow = sum + this.incrementLow;
    this.low = newLow >>> 0;
    this.high =
      (highProduct(low, MULTIPLIER_LOW) +
        Math.imul(high, MULTIPLIER_LOW) +
        Math.imul(low, MULTIPLIER_HIGH) +
        this.incrementHigh +
        (newLow > 0xffffffff ? 1 : 0)) >>>
      0;
    // Output of the old state: xorshift the high bits down to 32, then rotate by the top five bits.
    const xorHigh = (high ^ (high >>> 18)) >>> 0;
    const xorLow = (low ^ ((low >>> 18) | (high << 14))) >>> 0;
    const xorshifted = ((xorLow >>> 27) | (xorHigh << 5)) >>> 0;
    const rotation = high >>> 27;
    return ((xorshifted >>> rotation) | (xorshifted << (-rotation & 31))) >>> 0;
  }

  /** Uniform in [0, 1), with 53 random bits. */
  nextFloat(): number {
    const high = this.nextUint32() >>> 5;
    const low = this.nextUint32() >>> 6;
    return (high * 2 ** 26 + low) / 2 ** 53;
  }

  /** Uniform on the whole numbers from 0 to n − 1, without bias; 1 ≤ n ≤ 2^32. */
  nextInt(n: number): number {
    // The lowest (2^32 mod n) outputs would make some numbers likelier: draw again.
    const threshold = 2 ** 32 % n;
    for (;;) {
      const value = this.nextUint32();
      if (value >= threshold) return value % n;
    }
  }
}

/** The upper 32 bits of the product of two unsigned 32-bit numbers. */
function highProduct(a: number, b: number): number {
  const aHigh = a >>> 16;
  const aLow = a & 0xffff;
  const bHigh = b >>> 16;
  const bLow = b & 0xffff;
  const middle = aHigh * bLow + Math.floor((aLow * bLow) / 2 ** 16);
  const carry = aLow * bHigh + (middle % 2 ** 16);
  return aHigh * bHigh + Math.floor(middle / 2 ** 16) + Math.floor(carry / 2 ** 16);
}
