/** What of a tokenizer turns tokens back into text; the data side's Tokenizer is one. */
export interface TokenDecoder {
  decode(ids: Int32Array, options: { skipSpecialTokens: boolean }): string;
}

/** What a decoder writes for bytes that are not (yet) a character. */
const REPLACEMENT = '\uFFFD';
/** Prompt tokens decoded along with the new ones: enough to know whether a word goes on. */
const CONTEXT_TOKENS = 8;

/**
 * Turns tokens into text as they come. A character made of several tokens is held back until it is whole; so is
 * what may be the beginning of a stop string. The pieces, joined, are {@link text}.
 *
 * Tokens are decoded together with those before them and the known beginning is cut off, because a tokenizer may
 * write a token differently at the start of a text (sentencepiece drops the space there).
 */
export class TextStream {
  private readonly ids: number[];
  /** Decoding starts here, … */
  private contextStart = 0;
  /** … and text up to here is known. */
  private knownEnd: number;
  private decoded = '';
  private emitted = 0;
  private stopAt: number | undefined;

  constructor(
    private readonly tokenizer: TokenDecoder,
    prompt: Int32Array,
    private readonly stopStrings: readonly string[] = [],
  ) {
    this.ids = Array.from(prompt.subarray(-CONTEXT_TOKENS));
    this.knownEnd = this.ids.length;
  }

  /** Whether a stop string came. */
  get stopped(): boolean {
    return this.stopAt !== undefined;
  }

  /** The text handed out so far: without half characters, and cut before the stop string. */
  get text(): string {
    return this.decoded.slice(0, this.emitted);
  }

  /** @returns the text that this token makes certain, often empty */
  push(token: number): string {
    this.ids.push(token);
    const fresh = this.freshText();
    if (fresh !== '' && !fresh.endsWith(REPLACEMENT)) {
      this.contextStart = this.knownEnd;
      this.knownEnd = this.ids.length;
      this.append(fresh);
    }
    return this.emit(this.decoded.length - this.heldBack());
  }

  /** @returns what was held back; the half of a character at the very end is left out */
  finish(): string {
    let fresh = this.freshText();
    while (fresh.endsWith(REPLACEMENT)) fresh = fresh.slice(0, -1);
    this.knownEnd = this.ids.length;
    this.append(fresh);
    return this.emit(this.decoded.length);
  }

  private freshText(): string {
    const decode = (end: number) =>
      this.tokenizer.decode(Int32Array.from(this.ids.slice(this.contextStart, end)), { skipSpecialTokens: true });
    return decode(this.ids.length).slice(decode(this.knownEnd).length);
  }

  private append(fresh: string): void {
    if (this.stopped) return;
    const longest = Math.max(0, ...this.stopStrings.map((stop) => stop.length));
    const from = Math.max(0, this.decoded.length - longest + 1);
    this.decoded += fresh;
    for (const stop of this.stopStrings) {
      const at = this.decoded.indexOf(stop, from);
      if (at >= 0 && (this.stopAt === undefined || at < this.stopAt)) this.stopAt = at;
    }
  }

  /** Length of the longest end of the text that a stop string begins with. */
  private heldBack(): number {
    let held = 0;
    for (const stop of this.stopStrings) {
      for (let length = Math.min(stop.length - 1, this.decoded.length); length > held; length--) {
        if (this.decoded.endsWith(stop.slice(0, length))) held = length;
      }
    }
    return held;
  }

  private emit(end: number): string {
    const piece = this.decoded.slice(this.emitted, Math.max(this.emitted, Math.min(end, this.stopAt ?? end)));
    this.emitted += piece.length;
    return piece;
  }
}
