/** A key of a recipe that nobody knows, and which may have been meant. */
import { findNodeAtOffset, getNodePath, parseTree } from 'jsonc-parser';
import { knownKeys, nearestKeys, type SchemaNode } from './nearestKey';
import type { Span } from './recipeText';

export interface UnknownKey {
  name: string;
  /** Of the name between its quotes. */
  span: Span;
  /** The likeliest first; at most three. */
  nearest: string[];
}

/** Undefined where there is no key at that offset, or one that is known. */
export function unknownKeyAt(text: string, offset: number, schema: SchemaNode): UnknownKey | undefined {
  const root = parseTree(text, [], { allowTrailingComma: true });
  const node = root && findNodeAtOffset(root, offset, true);
  const property = node?.parent;
  if (!node || property?.type !== 'property' || property.children?.[0] !== node) return undefined;
  const name = String(node.value);
  const known = knownKeys(schema, getNodePath(node).slice(0, -1));
  if (known.length === 0 || known.includes(name)) return undefined;
  const siblings = new Set(property.parent?.children?.map((child) => String(child.children?.[0]?.value)));
  const free = known.filter((key) => !siblings.has(key));
  return { name, span: { offset: node.offset + 1, length: node.length - 2 }, nearest: nearestKeys(name, free) };
}
