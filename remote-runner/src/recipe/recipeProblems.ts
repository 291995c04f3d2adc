/** What is wrong with a recipe, in words: the schema's findings as sentences that name the key and what to write. */
import type { core } from 'zod';
import { nearestKey, nearestWord } from './knownKeys';

type Issue = core.$ZodIssue;

export interface RecipeProblem {
  /** Where in the recipe, as keys. */
  path: PropertyKey[];
  /** Whether the key itself is wrong, or its value. */
  part: 'key' | 'value';
  message: string;
  /** The known key or word that may have been meant. */
  nearest?: string;
}

/** @param recipe the raw content that was checked */
export function recipeProblems(issues: readonly Issue[], recipe: unknown): RecipeProblem[] {
  return issues.flatMap((issue) => problemsOf(issue, recipe));
}

function problemsOf(issue: Issue, recipe: unknown): RecipeProblem[] {
  const { path } = issue;
  const name = `"${dotted(path)}"`;
  const value = valueAt(recipe, path);
  const wrong = (message: string, nearest?: string): RecipeProblem[] => [
    { path, part: 'value', message, ...(nearest !== undefined && { nearest }) },
  ];

  if (issue.code === 'unrecognized_keys') return issue.keys.map((key) => unknownKey(path, key));
  if (issue.code === 'invalid_union') return unionProblems(issue, recipe);
  if (value === undefined) return wrong(`${name} is missing; every recipe needs it.`);
  switch (issue.code) {
    case 'invalid_type':
      if (path.length === 0) return wrong(`a recipe is an object in braces, not ${describe(value)}.`);
      return wrong(`${name} must be ${TYPES[issue.expected] ?? issue.expected}, not ${describe(value)}.`);
    case 'invalid_value': {
      const words = issue.values.map(String);
      const nearest = typeof value === 'string' ? nearestWord(value, words) : undefined;
      const hint = nearest === undefined ? '' : ` Did you mean "${nearest}"?`;
      const choices = words.map((word) => `"${word}"`).join(', ');
      return wrong(
        words.length === 1
          ? `${name} must be ${choices}, not ${describe(value)}.`
          : `${name} must be one of ${choices}, not ${describe(value)}.${hint}`,
        nearest,
      );
    }
    case 'too_small':
      if (issue.origin === 'string') return wrong(`${name} must not be empty.`);
      return wrong(
        `${name} must be ${issue.inclusive ? 'at least' : 'above'} ${issue.minimum}, not ${describe(value)}.`,
      );
    case 'too_big':
      return wrong(
        `${name} must be ${issue.inclusive ? 'at most' : 'below'} ${issue.maximum}, not ${describe(value)}.`,
      );
    default:
      return wrong(`${name} ${issue.message.replace(/\.$/, '')}, not ${describe(value)}.`);
  }
}

/** Of "a file or an object", the one that was tried decides what to say. */
function unionProblems(issue: Extract<Issue, { code: 'invalid_union' }>, recipe: unknown): RecipeProblem[] {
  const tried = issue.errors.find((issues) => !issues.some(isWrongType));
  if (tried) {
    const nested = tried.map((inner) => ({ ...inner, path: [...issue.path, ...inner.path] }));
    return nested.flatMap((inner) => problemsOf(inner, recipe));
  }
  const value = valueAt(recipe, issue.path);
  const name = `"${dotted(issue.path)}"`;
  if (value === undefined) {
    return [{ path: issue.path, part: 'value', message: `${name} is missing; every recipe needs it.` }];
  }
  const types = issue.errors.flat().flatMap((inner) => (isWrongType(inner) ? [TYPES[inner.expected]] : []));
  const message = `${name} must be ${types.join(' or ')}, not ${describe(value)}.`;
  return [{ path: issue.path, part: 'value', message }];
}

function isWrongType(issue: Issue): issue is Extract<Issue, { code: 'invalid_type' }> {
  return issue.code === 'invalid_type' && issue.path.length === 0;
}

function unknownKey(parent: PropertyKey[], key: string): RecipeProblem {
  const path = [...parent, key];
  const nearest = nearestKey(key, dotted(parent));
  const moved = nearest.slice(nearest.lastIndexOf('.') + 1) === key;
  const message = moved
    ? `unknown key "${dotted(path)}": it is written as "${nearest}"${nearest.includes('.') ? ` (inside "${nearest.slice(0, nearest.lastIndexOf('.'))}")` : ''}.`
    : `unknown key "${dotted(path)}"; the nearest known one is "${nearest}".`;
  return { path, part: 'key', message, nearest };
}

const TYPES: Record<string, string> = {
  string: 'a text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'an object in braces',
};

/** A value as a person recognises it: `the text "fast"`, `1.5`, `a list`. */
function describe(value: unknown): string {
  if (typeof value === 'string')
    return `the text ${JSON.stringify(value.length > 40 ? `${value.slice(0, 39)}…` : value)}`;
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object' && value !== null) return 'an object';
  return String(value);
}

function dotted(path: readonly PropertyKey[]): string {
  return path.map(String).join('.');
}

function valueAt(root: unknown, path: readonly PropertyKey[]): unknown {
  let value = root;
  for (const key of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined;
    value = (value as Record<PropertyKey, unknown>)[key];
  }
  return value;
}
