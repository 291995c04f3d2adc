/** What to take out of a JSON text so that some elements of its array of rows are gone and the rest is as it was. */
import { findNodeAtLocation, type Node, parseTree } from 'jsonc-parser';

/** Of a text: 1-based line, 0-based character, both as editors count them. */
export interface TextPosition {
  line: number;
  character: number;
}

/** From (inclusive) to (exclusive). */
export interface TextRange {
  from: TextPosition;
  to: TextPosition;
}

/**
 * @param text an array, or an object with one
 * @param isDropped by the element's number
 * @returns in the order of the text; nothing where it holds no such array
 */
export function arrayEdits(text: string, isDropped: (row: number) => boolean): TextRange[] {
  const elements = rowsOf(parseTree(text))?.children;
  if (!elements) return [];
  const spans: [number, number][] = [];
  for (let first = 0; first < elements.length; first++) {
    if (!isDropped(first)) continue;
    let end = first;
    while (end < elements.length && isDropped(end)) end++;
    const before = elements[first - 1];
    const after = elements[end];
    if (after) spans.push([elements[first]!.offset, after.offset]);
    // With what is last goes the comma behind what was last but one.
    else spans.push([before ? endOf(before) : elements[first]!.offset, endOf(elements[end - 1]!)]);
    first = end;
  }
  const positionOf = positions(text);
  return spans.map(([from, to]) => ({ from: positionOf(from), to: positionOf(to) }));
}

const endOf = ({ offset, length }: Node): number => offset + length;

function rowsOf(root: Node | undefined): Node | undefined {
  if (root?.type !== 'object') return root?.type === 'array' ? root : undefined;
  const names = (root.children ?? []).map(({ children }) => String(children?.[0]?.value));
  const arrays = names.map((name) => findNodeAtLocation(root, [name])).filter((node) => node?.type === 'array');
  return arrays.length === 1 ? arrays[0] : undefined;
}

/** To be asked for offsets that grow. */
function positions(text: string): (offset: number) => TextPosition {
  const breaks = /\r\n|\r|\n/g;
  let line = 1;
  let start = 0;
  let next = breaks.exec(text);
  return (offset) => {
    while (next && next.index + next[0].length <= offset) {
      line++;
      start = next.index + next[0].length;
      next = breaks.exec(text);
    }
    return { line, character: offset - start };
  };
}
