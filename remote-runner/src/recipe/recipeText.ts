/** A recipe's file as text: JSON with comments and trailing commas, and where in it each key stands. */
import { type ErrorPlace, TuneyardError } from '@protocol/errors';
import {
  findNodeAtLocation,
  getNodeValue,
  type Node,
  type ParseError,
  type ParseErrorCode,
  parseTree,
  printParseErrorCode,
} from 'jsonc-parser';

export interface RecipeText {
  value: unknown;
  /** Place of a key's value, or of the key itself; of the nearest parent where there is no such key. */
  placeOf(path: readonly PropertyKey[], part?: 'key' | 'value'): ErrorPlace;
}

/**
 * @param file where the text comes from, for messages
 * @throws TuneyardError `recipe_invalid` for broken JSON and for a key given twice
 */
export function parseRecipeText(text: string, file: string): RecipeText {
  const lineStarts = [0];
  for (let i = text.indexOf('\n'); i >= 0; i = text.indexOf('\n', i + 1)) lineStarts.push(i + 1);
  const place = (offset: number): ErrorPlace => {
    let line = lineStarts.findIndex((start) => start > offset);
    if (line < 0) line = lineStarts.length;
    return { file, line, column: offset - lineStarts[line - 1]! + 1 };
  };

  const errors: ParseError[] = [];
  const root = parseTree(text, errors, { allowTrailingComma: true, allowEmptyContent: true });
  const [first] = errors;
  if (first) {
    throw new TuneyardError('recipe_invalid', `this is not JSON: ${syntaxProblem(first.error)}.`, {
      place: place(first.offset),
      data: { problems: errors.map(({ error, offset }) => ({ ...place(offset), message: syntaxProblem(error) })) },
    });
  }
  if (!root) {
    throw new TuneyardError('recipe_invalid', 'the recipe is empty; it needs at least "model" and "dataset".', {
      place: { file },
    });
  }
  refuseTwins(root, place);
  return {
    value: getNodeValue(root),
    placeOf(path, part = 'value') {
      const node = findNearest(root, path);
      const property = node.parent?.type === 'property' ? node.parent.children?.[0] : undefined;
      return place(part === 'key' && property ? property.offset : node.offset);
    },
  };
}

/** JSON would take the last of two equal keys without a word. */
function refuseTwins(node: Node, place: (offset: number) => ErrorPlace): void {
  const seen = new Map<string, number>();
  for (const child of node.children ?? []) {
    if (node.type === 'object') {
      const key = child.children?.[0];
      const name = String(key?.value);
      const earlier = seen.get(name);
      if (key && earlier !== undefined) {
        throw new TuneyardError(
          'recipe_invalid',
          `"${name}" is given twice, first in line ${place(earlier).line}; remove one.`,
          {
            place: place(key.offset),
            data: { key: name },
          },
        );
      }
      seen.set(name, key?.offset ?? 0);
    }
    refuseTwins(child, place);
  }
}

function findNearest(root: Node, path: readonly PropertyKey[]): Node {
  for (let length = path.length; length > 0; length--) {
    const segments = path.slice(0, length).map((key) => (typeof key === 'number' ? key : String(key)));
    const node = findNodeAtLocation(root, segments);
    if (node) return node;
  }
  return root;
}

function syntaxProblem(code: ParseErrorCode): string {
  return SYNTAX_PROBLEMS[printParseErrorCode(code)] ?? 'it breaks off or has something here that does not belong';
}

const SYNTAX_PROBLEMS: Partial<Record<string, string>> = {
  InvalidSymbol: 'a text must stand in double quotes',
  InvalidNumberFormat: 'this number is not written as JSON wants it',
  PropertyNameExpected: 'a key in double quotes is expected here',
  ValueExpected: 'a value is expected here',
  ColonExpected: 'a colon is expected after the key',
  CommaExpected: 'a comma is missing before this',
  CloseBraceExpected: 'a closing } is missing',
  CloseBracketExpected: 'a closing ] is missing',
  EndOfFileExpected: 'the recipe ended before this; remove what follows its last }',
  UnexpectedEndOfComment: 'a comment is not closed',
  UnexpectedEndOfString: 'a text is not closed by double quotes',
  UnexpectedEndOfNumber: 'a number breaks off',
  InvalidUnicode: 'a \\u needs four hexadecimal digits',
  InvalidEscapeCharacter: 'a backslash in a text must be written twice',
  InvalidCharacter: 'a text holds a control character; write it as \\n, \\t or \\u….',
};
