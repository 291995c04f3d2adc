import Table from 'cli-table3';
import wrapAnsi from 'wrap-ansi';

/** What cli-table3 takes for each kind of line; '' leaves it out. */
const NO_LINES = {
  top: '',
  'top-mid': '',
  'top-left': '',
  'top-right': '',
  bottom: '',
  'bottom-mid': '',
  'bottom-left': '',
  'bottom-right': '',
  left: '',
  'left-mid': '',
  mid: '',
  'mid-mid': '',
  right: '',
  'right-mid': '',
  middle: '',
};

/**
 * Rows below a head, columns set off by spaces.
 * @param right indexes of the columns that hold numbers
 */
export function plainTable(head: string[], rows: readonly string[][], right: readonly number[] = []): string {
  const table = new Table({
    head,
    chars: NO_LINES,
    style: { 'padding-left': 0, 'padding-right': 2, head: [], border: [] },
    colAligns: head.map((_, column) => (right.includes(column) ? 'right' : 'left')),
  });
  table.push(...rows);
  return trimEnds(table.toString());
}

/** Narrower than that, a column of text is hard to read. */
const NARROWEST = 22;

/**
 * Cells in boxes, their text wrapped so that the table is no wider than the terminal.
 * @param shares how the columns share the width
 * @returns nothing where the terminal is too narrow for so many columns
 */
export function boxedTable(
  head: string[],
  rows: readonly string[][],
  shares: readonly number[],
  columns: number,
): string | undefined {
  const free = columns - shares.length - 1;
  const total = shares.reduce((a, b) => a + b, 0);
  const widths = shares.map((share) => Math.floor((free * share) / total));
  if (widths.slice(1).some((width) => width < NARROWEST)) return undefined;
  // Not cli-table3's own wrapping, which cuts off what has no spaces: paths, and Chinese.
  const wrapped = (row: readonly string[]) => row.map((text, i) => wrapAnsi(text, widths[i]! - 2, { hard: true }));
  const table = new Table({ head: wrapped(head), colWidths: widths, style: { head: [], border: [] } });
  table.push(...rows.map(wrapped));
  return table.toString();
}

function trimEnds(text: string): string {
  return text
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n');
}
