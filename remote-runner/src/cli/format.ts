/** Numbers as people read them in a terminal. */

/** `2097152` → "2.10 M", `812` → "812". */
export function formatCount(value: number): string {
  const units = [
    [1e9, 'G'],
    [1e6, 'M'],
    [1e3, 'k'],
  ] as const;
  for (const [size, unit] of units)
    if (value >= size * 10 || (size > 1e3 && value >= size)) return `${(value / size).toPrecision(3)} ${unit}`;
  return String(Math.round(value));
}

/** Three decimals; shorter where the number is large. */
export function formatLoss(value: number): string {
  return Math.abs(value) >= 1000 ? value.toPrecision(4) : value.toFixed(3);
}

/** `0.0005` → "5.00e-4". */
export function formatRate(value: number): string {
  return value === 0 ? '0' : value.toExponential(2);
}

/** `3725` → "1 h 2 min", `84` → "1 min 24 s", `4.21` → "4.2 s". */
export function formatDuration(seconds: number): string {
  if (!Number.isFinite(seconds)) return '?';
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return whole % 60 === 0 ? `${minutes} min` : `${minutes} min ${whole % 60} s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return minutes % 60 === 0 ? `${hours} h` : `${hours} h ${minutes % 60} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** `0.416` → "41.6%". */
export function formatShare(share: number): string {
  return `${(100 * share).toFixed(1)}%`;
}

/** One line of at most that many characters. */
export function oneLine(text: string, columns: number): string {
  const flat = [...printable(text.replaceAll(/\s+/g, ' ').trim())];
  return flat.length <= columns ? flat.join('') : `${flat.slice(0, Math.max(0, columns - 1)).join('')}…`;
}

/** A word as a POSIX shell reads it back. */
export function shellWord(word: string): string {
  return /^[\w./:=@%+,-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/** Text from a model or a file is data: of its control characters only line breaks reach the terminal. */
export function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
  return text.replaceAll('\t', '  ').replaceAll(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/g, '�');
}
