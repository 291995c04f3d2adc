/** Numbers as people read them: at most three digits, with a unit. */
import * as l10n from '@vscode/l10n';

/** `0.00123` → "0.00123", `12.345` → "12.3", `2097152` → "2.1 M". */
export function formatNumber(value: number): string {
  const size = Math.abs(value);
  if (size >= 1e9) return `${trim(value / 1e9)} G`;
  if (size >= 1e6) return `${trim(value / 1e6)} M`;
  if (size >= 1e4) return `${trim(value / 1e3)} k`;
  if (size > 0 && size < 1e-3) return value.toExponential(size < 1e-99 ? 0 : 1).replace(/\.0e/, 'e');
  return size >= 1e3 ? value.toFixed(0) : trim(value);
}

const trim = (value: number) => String(Number(value.toPrecision(3)));

/** Bytes in decimal units, as `ls -h --si` and disk makers count. */
export function formatBytes(bytes: number): string {
  if (bytes >= 1e9) return `${trim(bytes / 1e9)} GB`;
  if (bytes >= 1e6) return `${trim(bytes / 1e6)} MB`;
  return `${trim(bytes / 1e3)} kB`;
}

/** `3725` → "1 h 2 min"; `84` → "1 min 24 s"; `4.21` → "4.2 s". */
export function formatSeconds(seconds: number): string {
  if (seconds < 10) return l10n.t('{0} s', Number(seconds.toFixed(1)));
  const whole = Math.round(seconds);
  if (whole < 60) return l10n.t('{0} s', whole);
  const [count, rest] = whole < 3600 ? [60, whole % 60] : [3600, Math.floor((whole % 3600) / 60)];
  const units = Math.floor(whole / count);
  if (count === 60) return rest === 0 ? l10n.t('{0} min', units) : l10n.t('{0} min {1} s', units, rest);
  return rest === 0 ? l10n.t('{0} h', units) : l10n.t('{0} h {1} min', units, rest);
}
