/** Whether a recipe's `filter` lets a row through. */
import type { RowFilter } from '@protocol/recipe';

type Keeps = (values: Readonly<Record<string, unknown>>) => boolean;

/** Undefined: every row is used. */
export function rowFilter(filter: readonly RowFilter[] | undefined): Keeps | undefined {
  if (!filter || filter.length === 0) return undefined;
  const conditions = filter.map(condition);
  return (values) => conditions.every((holds) => holds(values));
}

function condition(filter: RowFilter): Keeps {
  const { column, equals, not_equals, min, max, min_length, max_length } = filter;
  const matches = filter.matches === undefined ? undefined : new RegExp(filter.matches, 'u');
  const not_matches = filter.not_matches === undefined ? undefined : new RegExp(filter.not_matches, 'u');
  return (values) => {
    const value = Object.hasOwn(values, column) ? values[column] : undefined;
    if (equals !== undefined && !same(value, equals)) return false;
    if (not_equals !== undefined && same(value, not_equals)) return false;
    if (min !== undefined && !(numberOf(value) >= min)) return false;
    if (max !== undefined && !(numberOf(value) <= max)) return false;
    if (min_length !== undefined && !(lengthOf(value) >= min_length)) return false;
    if (max_length !== undefined && !(lengthOf(value) <= max_length)) return false;
    if (matches && !(typeof value === 'string' && matches.test(value))) return false;
    return !(not_matches && typeof value === 'string' && not_matches.test(value));
  };
}

/** CSV knows only text: "3" is 3, and "true" is true. */
function same(value: unknown, wanted: string | number | boolean): boolean {
  if (value === wanted) return true;
  return (typeof value === 'string' || typeof value === 'bigint') && typeof wanted !== 'string'
    ? String(value) === String(wanted)
    : false;
}

function numberOf(value: unknown): number {
  if (typeof value === 'number') return value;
  if (typeof value === 'bigint') return Number(value);
  return typeof value === 'string' && value.trim() !== '' ? Number(value) : Number.NaN;
}

/** In characters as a person counts them, or elements. */
function lengthOf(value: unknown): number {
  if (typeof value === 'string') return [...value].length;
  return Array.isArray(value) ? value.length : Number.NaN;
}
