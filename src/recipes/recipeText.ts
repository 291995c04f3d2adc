/** A recipe as a person writes it: JSON with comments, and where in it each key stands. */
import { findNodeAtLocation, getNodeValue, type Node, type ParseError, parseTree } from 'jsonc-parser';

/** Part of a text, in UTF-16 units. */
export interface Span {
  offset: number;
  length: number;
}

export type KeyPath = readonly (string | number)[];

export interface RecipeText {
  /** What could be read of it; undefined where it is no object. */
  value: Record<string, unknown> | undefined;
  /** Whether it is proper JSON with comments. */
  isSound: boolean;
  /** Place of a key's value, or of the key itself; of the nearest parent where there is no such key. */
  spanOf(path: KeyPath, part?: 'key' | 'value'): Span;
}

export function parseRecipe(text: string): RecipeText {
  const errors: ParseError[] = [];
  const root = parseTree(text, errors, { allowTrailingComma: true, allowEmptyContent: true });
  const value: unknown = root ? getNodeValue(root) : undefined;
  return {
    value: isRecord(value) ? value : undefined,
    isSound: errors.length === 0,
    spanOf(path, part = 'value') {
      const node = root && nearest(root, path);
      if (!node?.parent) return { offset: root?.offset ?? 0, length: 1 };
      const key = node.parent.type === 'property' ? node.parent.children?.[0] : undefined;
      // Of something long, its beginning is enough.
      const shown = part === 'key' || node.type === 'object' || node.type === 'array' ? (key ?? node) : node;
      return { offset: shown.offset, length: shown.length };
    },
  };
}

function nearest(root: Node, path: KeyPath): Node {
  for (let length = path.length; length > 0; length--) {
    const node = findNodeAtLocation(root, path.slice(0, length));
    if (node) return node;
  }
  return root;
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** `tang` for `/data/tang.tune.json`, `poems` for `/data/poems.jsonl`. */
export function recipeName(path: string): string {
  const file = path.slice(Math.max(path.lastIndexOf('/'), path.lastIndexOf('\\')) + 1);
  return file.replace(/(\.tune)?\.[^.]+$/, '') || file;
}

export const RECIPE_SUFFIX = '.tune.json';
