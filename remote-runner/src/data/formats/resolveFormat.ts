/** What the rows of a dataset are, from its columns and what a recipe says, and how a row becomes text. */
import type { DatasetFormat } from '@protocol/dataset';
import { type ErrorPlace, TuneyardError } from '@protocol/errors';
import { type ChatTemplate, plainChatTemplate } from '../chat/chatTemplate';
import { type ResolvedTemplate, renderRow, resolveTemplate } from '../templates';
import type { RenderedSample, Values } from './format';
import { FORMATS, formatNamed } from './index';

export interface FormatRecipe {
  format?: DatasetFormat | undefined;
  template?: string | undefined;
  target_column?: string | undefined;
  chat_template?: string | undefined;
}

/** Plain data, that goes to threads; {@link renderSample} works with it. */
export interface ResolvedFormat {
  name: DatasetFormat;
  /** Others that the columns allow. */
  possible: DatasetFormat[];
  /** For people: the template, or what the format wants. */
  source: string;
  /** The column that begins what is learned. */
  target: string | undefined;
  chat: ChatTemplate;
  /** Which chat template is used; only where one is. */
  chatNote?: string;
  template?: ResolvedTemplate;
  warnings: string[];
}

const CHATS: readonly DatasetFormat[] = ['messages', 'sharegpt'];

/**
 * @param rows some of the first, by which a format is told
 * @param chat of the model; undefined: it has none
 * @throws TuneyardError `column_missing`, `template_invalid`, `dataset_invalid` where the recipe names a format that this is not
 */
export function resolveFormat(
  dataset: FormatRecipe,
  columns: readonly string[],
  rows: readonly Values[],
  { place, chat }: { place: ErrorPlace; chat: ChatTemplate | undefined },
): ResolvedFormat {
  const fixed = FORMATS.filter((format) => format.fits(columns, rows)).map(({ name }) => name);
  const plain: DatasetFormat[] = columns.includes('text') ? [columns.includes('target') ? 'text-target' : 'text'] : [];
  const possible = [...fixed, ...plain, 'template' as const];
  const name = chosenFormat(dataset, fixed);
  const own =
    dataset.chat_template === undefined
      ? chat
      : { ...(chat ?? plainChatTemplate({})), source: dataset.chat_template, origin: 'the recipe' };
  const written = own ?? plainChatTemplate({});
  const format = name && formatNamed(name);
  if (!format) {
    const template = resolveTemplate(dataset, columns, place);
    const kind = dataset.template !== undefined ? 'template' : template.target === undefined ? 'text' : 'text-target';
    return {
      name: kind,
      possible,
      source: template.template.source,
      target: template.target,
      chat: written,
      template,
      warnings: [],
    };
  }
  if (!format.fits(columns, rows)) {
    const known = columns.map((column) => `"${column}"`).join(', ');
    throw new TuneyardError(
      'dataset_invalid',
      `the rows are not in the format "${format.name}", which wants ${format.wants} (columns: ${known}).`,
      { place, data: { format: format.name, possible } },
    );
  }
  const warnings: string[] = [];
  const isChat =
    CHATS.includes(format.name) ||
    rows.some((row) => ['prompt', 'chosen'].some((column) => Array.isArray(row[column])));
  if (isChat && !own)
    warnings.push(
      'The tokenizer has no chat template: turns are written as lines, "User: …" and "Assistant: …". Set dataset.chat_template to write them otherwise.',
    );
  return {
    name: format.name,
    possible,
    source: format.wants,
    target: format.target,
    chat: written,
    ...(isChat && { chatNote: written.origin }),
    warnings,
  };
}

/** Undefined: what a template makes of it. */
function chosenFormat({ format, template, target_column }: FormatRecipe, fixed: readonly DatasetFormat[]) {
  if (format !== undefined) return format;
  return template === undefined && target_column === undefined ? fixed[0] : undefined;
}

/** @throws TuneyardError `dataset_invalid` for a row that is not of the format */
export function renderSample(format: ResolvedFormat, values: Values, place: ErrorPlace): RenderedSample {
  if (format.template) return { text: { kind: 'plain', ...renderRow(format.template, values, place) } };
  return formatNamed(format.name)!.render(values, { place, chat: format.chat });
}

/** @throws TuneyardError `dataset_invalid` where it is for a method that trains on something else than text */
export function requireTrainable({ name }: ResolvedFormat, place: ErrorPlace): void {
  const method = formatNamed(name)?.method;
  if (method === undefined) return;
  throw new TuneyardError(
    'dataset_invalid',
    `the rows are in the format "${name}", which is for ${method}, and "method" is "full"; convert the data, or say with dataset.template how a row becomes text.`,
    { place },
  );
}
