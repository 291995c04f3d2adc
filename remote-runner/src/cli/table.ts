import Table from 'cli-table3';

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

/**
 * Cells in boxes, their text wrapped so that the table is no wider than the terminal.
 * @param shares how the columns share the width
 */
export function boxedTable(
  head: string[],
  rows: readonly string[][],
  shares: readonly number[],
  columns: number,
): string {
  const free = columns - shares.length - 1;
  const total = shares.reduce((a, b) => a + b, 0);
  const table = new Table({
    head,
    colWidths: shares.map((share) => Math.max(12, Math.floor((free * share) / total))),
    wordWrap: true,
    style: { head: [], border: [] },
  });
  table.push(...rows);
  return table.toString();
}

function trimEnds(text: string): string {
  return text
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n');
}
