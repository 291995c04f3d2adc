/** Where a text differs from another one, and where it repeats itself. */
import type { TextRange } from '@protocol/compare';
import { diffWordsWithSpace } from 'diff';

export interface Piece {
  text: string;
  /** Not in the other text at this place. */
  differs: boolean;
  repeats: boolean;
}

/** Two texts that have nothing in common are compared no longer than this. */
const MOST_MS = 50;

/** `base`: what to compare with; absent: nothing differs. */
export function markedText(text: string, base: string | undefined, repeated: readonly TextRange[]): Piece[] {
  const differing = base === undefined ? [] : differences(base, text);
  const edges = new Set([0, text.length]);
  for (const { start, end } of [...differing, ...repeated]) edges.add(start).add(end);
  const places = [...edges].filter((at) => at >= 0 && at <= text.length).sort((a, b) => a - b);
  return places.slice(1).map((end, i) => {
    const start = places[i]!;
    return {
      text: text.slice(start, end),
      differs: covers(differing, start, end),
      repeats: covers(repeated, start, end),
    };
  });
}

function differences(base: string, text: string): TextRange[] {
  const parts = diffWordsWithSpace(base, text, { timeout: MOST_MS });
  if (!parts) return [{ start: 0, end: text.length }];
  const ranges: TextRange[] = [];
  let at = 0;
  for (const { value, added, removed } of parts) {
    if (removed) continue;
    if (added && value.trim() !== '') ranges.push({ start: at, end: at + value.length });
    at += value.length;
  }
  return ranges;
}

const covers = (ranges: readonly TextRange[], start: number, end: number): boolean =>
  ranges.some((range) => range.start <= start && range.end >= end);
