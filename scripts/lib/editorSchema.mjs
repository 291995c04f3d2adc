/** The recipe's schema as editors want it, and in other languages: its descriptions show when the mouse rests on a key. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { root } from './command.mjs';

/** @returns the schema, with comments allowed and descriptions that hold `code` as Markdown */
export function editorSchema(schema) {
  const finish = ({ description, ...node }) => ({
    ...node,
    description,
    ...(description.includes('`') ? { markdownDescription: description } : {}),
  });
  return { ...mapDescribed(schema, finish), allowComments: true };
}

/** @returns the schema with each description in that language; what has no translation stays as it is */
export async function translateSchema(schema, language) {
  const texts = JSON.parse(await readFile(join(root, `l10n/recipe.schema.${language}.json`), 'utf8'));
  return mapDescribed(schema, (node) => ({ ...node, description: texts[node.description] ?? node.description }));
}

/** Applies a change to every node that has a description. */
function mapDescribed(node, change) {
  if (Array.isArray(node)) return node.map((item) => mapDescribed(item, change));
  if (typeof node !== 'object' || node === null) return node;
  const copy = Object.fromEntries(Object.entries(node).map(([key, value]) => [key, mapDescribed(value, change)]));
  return typeof copy.description === 'string' ? change(copy) : copy;
}
