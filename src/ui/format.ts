/** Numbers as people read them: at most three digits, always with a unit. */

/** Decimal units: "812 B", "2.1 MB", "24 GB". */
export function formatBytes(bytes: number): string {
  return scaled(bytes, ['B', 'kB', 'MB', 'GB', 'TB']);
}

/** "812", "34.1 k", "2.61 M". */
export function formatCount(value: number): string {
  return value < 10_000 ? String(Math.round(value)) : scaled(value, ['', 'k', 'M', 'G', 'T']);
}

function scaled(value: number, units: readonly string[]): string {
  let unit = 0;
  let rest = value;
  // What would be rounded to four digits goes on to the next unit.
  while (rest >= 999.5 && unit < units.length - 1) {
    rest /= 1000;
    unit++;
  }
  const text = unit === 0 ? String(Math.round(rest)) : String(Number(rest.toPrecision(3)));
  return `${text} ${units[unit]}`.trimEnd();
}
