/**
 * Templates: how a row becomes text. `"{text} {target}"` puts the columns `text` and `target` in; `{{` and `}}`
 * stand for braces. A template is parsed once; a row is rendered in two parts, the prompt and the completion.
 */
import { type ErrorPlace, TuneyardError } from '@protocol/errors';
import { closest, distance } from 'fastest-levenshtein';

export interface Template {
  /** As it was written. */
  source: string;
  parts: readonly TemplatePart[];
  /** The columns it uses, each once, in order. */
  columns: readonly string[];
}

type TemplatePart = { literal: string } | { column: string };

export interface RenderedRow {
  /** What the model is given. It never ends in white space: that goes to the completion. */
  prompt: string;
  /** What the model learns to write. */
  completion: string;
}

/**
 * Parses a template.
 *
 * @throws TuneyardError `template_invalid` for a brace that is never closed or opened, or that names nothing
 */
export function parseTemplate(source: string): Template {
  const parts: TemplatePart[] = [];
  let literal = '';
  const fail = (what: string, at: number): never => {
    throw new TuneyardError(
      'template_invalid',
      `the template ${JSON.stringify(source)} ${what} at character ${at + 1}; columns go in braces, like {text}, and {{ or }} stand for a brace.`,
    );
  };
  for (let i = 0; i < source.length; i++) {
    const char = source[i]!;
    if ((char === '{' || char === '}') && source[i + 1] === char) {
      literal += char;
      i++;
    } else if (char === '}') {
      fail('closes a brace that was not opened', i);
    } else if (char === '{') {
      const end = source.slice(i + 1).search(/[{}]/);
      if (end < 0 || source[i + 1 + end] === '{') fail('does not close the brace', i);
      const column = source.slice(i + 1, i + 1 + end).trim();
      if (column === '') fail('names no column', i);
      if (literal !== '') parts.push({ literal });
      literal = '';
      parts.push({ column });
      i += end + 1;
    } else {
      literal += char;
    }
  }
  if (literal !== '') parts.push({ literal });
  const columns = [...new Set(parts.flatMap((part) => ('column' in part ? [part.column] : [])))];
  if (columns.length === 0) {
    throw new TuneyardError(
      'template_invalid',
      `the template ${JSON.stringify(source)} uses no column, so that all samples would be the same; put one in braces, like {text}.`,
    );
  }
  return { source, parts, columns };
}

/** What a dataset's `template` and `target_column` come to for a file with given columns. */
export interface ResolvedTemplate {
  template: Template;
  /** The column that begins the completion; undefined: the whole text is learned. */
  target: string | undefined;
}

/**
 * Fills in the defaults ("{text}{target}" where the target column exists, else "{text}") and checks every column.
 *
 * @param columns the file's columns
 * @param place the file, for messages
 * @throws TuneyardError `template_invalid`; `column_missing` naming the nearest column and all there are
 */
export function resolveTemplate(
  dataset: { template?: string | undefined; target_column?: string | undefined },
  columns: readonly string[],
  place: ErrorPlace,
): ResolvedTemplate {
  const wanted = dataset.target_column ?? 'target';
  const exists = columns.includes(wanted);
  if (dataset.target_column !== undefined && !exists) throw missingColumn(wanted, columns, place);
  const template = parseTemplate(dataset.template ?? (exists ? `{text}{${wanted}}` : '{text}'));
  for (const column of template.columns) {
    if (columns.includes(column)) continue;
    const advice = dataset.template === undefined ? '; say with `template` how a row becomes text' : '';
    throw missingColumn(column, columns, place, advice);
  }
  if (dataset.target_column !== undefined && !template.columns.includes(wanted)) {
    throw new TuneyardError(
      'template_invalid',
      `the template ${JSON.stringify(template.source)} does not use the target column "${wanted}"; put {${wanted}} into it.`,
    );
  }
  return { template, target: template.columns.includes(wanted) ? wanted : undefined };
}

/**
 * Renders a row. Everything from the target column's first use on is the completion; without a target the whole
 * text is. White space that joins the two goes with the completion: byte-level BPE writes " word" as one token, so
 * a prompt that ended in a space would have other tokens in training than when the model is asked to go on from it.
 *
 * @throws TuneyardError `dataset_invalid` where a value is missing, or is no text, number or boolean
 */
export function renderRow(
  { template, target }: ResolvedTemplate,
  values: Record<string, unknown>,
  place: ErrorPlace,
): RenderedRow {
  let prompt = '';
  let completion = '';
  let inCompletion = target === undefined;
  for (const part of template.parts) {
    if ('column' in part && part.column === target) inCompletion = true;
    const text = 'column' in part ? valueText(part.column, values, place) : part.literal;
    if (inCompletion) completion += text;
    else prompt += text;
  }
  const kept = prompt.trimEnd();
  return { prompt: kept, completion: prompt.slice(kept.length) + completion };
}

function valueText(column: string, values: Record<string, unknown>, place: ErrorPlace): string {
  const value = Object.hasOwn(values, column) ? values[column] : undefined;
  if (typeof value === 'string') return value;
  if (typeof value === 'number' || typeof value === 'boolean' || typeof value === 'bigint') return String(value);
  if (value instanceof Date) return value.toISOString();
  const what =
    value === undefined || value === null
      ? `the row has no value for the column "${column}"; fill it in or take the row out.`
      : `the column "${column}" holds ${Array.isArray(value) ? 'a list' : 'an object'} here; a template takes text, numbers and booleans.`;
  throw new TuneyardError('dataset_invalid', what, { place });
}

function missingColumn(column: string, columns: readonly string[], place: ErrorPlace, advice = ''): TuneyardError {
  const nearest = columns.length > 0 ? closest(column.toLowerCase(), [...columns]) : undefined;
  const near = nearest !== undefined && distance(column.toLowerCase(), nearest.toLowerCase()) <= 1 + column.length / 3;
  const known = columns.map((name) => `"${name}"`).join(', ');
  const hint = near ? `; did you mean "${nearest}"?` : '';
  return new TuneyardError('column_missing', `there is no column "${column}"${hint} (columns: ${known})${advice}.`, {
    place,
    data: { column, columns: [...columns], ...(near ? { nearest } : {}) },
  });
}
