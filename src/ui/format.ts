/** Numbers as people read them: at most three digits, always with a unit. */
import * as l10n from '@vscode/l10n';

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

/** 0.875 → "87.5%" */
export const formatShare = (share: number, locale: string): string =>
  new Intl.NumberFormat(locale, { style: 'percent', maximumFractionDigits: 1 }).format(share);

/** Three significant digits: "2.31", "0.00123", "12.3". */
export function formatLoss(loss: number): string {
  return Number.isFinite(loss) ? String(Number(loss.toPrecision(3))) : '–';
}

/** "45 s", "1 min 24 s", "3 h 5 min", "2 d 4 h". */
export function formatDuration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return l10n.t('{0} s', whole);
  if (whole < 600)
    return whole % 60 === 0
      ? l10n.t('{0} min', whole / 60)
      : l10n.t('{0} min {1} s', Math.floor(whole / 60), whole % 60);
  const minutes = Math.round(whole / 60);
  if (minutes < 60) return l10n.t('{0} min', minutes);
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return l10n.t('{0} h {1} min', hours, minutes % 60);
  return l10n.t('{0} d {1} h', Math.floor(hours / 24), hours % 24);
}

const RELATIVE = new Map<string, Intl.RelativeTimeFormat>();

/** They are costly to make, and a list of a thousand runs asks for a thousand. */
function relativeTime(locale: string): Intl.RelativeTimeFormat {
  const known = RELATIVE.get(locale) ?? new Intl.RelativeTimeFormat(locale, { numeric: 'auto', style: 'short' });
  RELATIVE.set(locale, known);
  return known;
}

/** "now", "5 minutes ago", "yesterday", in the language given. */
export function formatAgo(time: number, now: number, locale: string): string {
  const relative = relativeTime(locale);
  const seconds = (time - now) / 1000;
  if (seconds > -60) return relative.format(0, 'second');
  if (seconds > -3600) return relative.format(Math.round(seconds / 60), 'minute');
  if (seconds > -86_400 / 2) return relative.format(Math.round(seconds / 3600), 'hour');
  const days = Math.round((new Date(time).setHours(0, 0, 0, 0) - new Date(now).setHours(0, 0, 0, 0)) / 86_400_000);
  if (days > -30) return relative.format(days, 'day');
  return days > -365
    ? relative.format(Math.round(days / 30), 'month')
    : relative.format(Math.round(days / 365), 'year');
}
