/** Which keys a recipe knows, where, and which of them somebody may have meant. */
import { distance } from 'fastest-levenshtein';
import { recipeJsonSchema } from './jsonSchema';

interface SchemaNode {
  properties?: Record<string, SchemaNode>;
  anyOf?: SchemaNode[];
}

/** All keys by their dotted names (`generation.top_k`), parents before children. */
const dottedKeys: readonly string[] = [...collect(recipeJsonSchema(), '')];

function* collect(node: SchemaNode, prefix: string): Generator<string> {
  for (const branch of node.anyOf ?? []) yield* collect(branch, prefix);
  for (const [key, child] of Object.entries(node.properties ?? {})) {
    if (key.startsWith('$')) continue;
    yield prefix + key;
    yield* collect(child, `${prefix}${key}.`);
  }
}

/**
 * The known key that is likest to an unknown one: the same name in another place, else one that has the name as a
 * part (`epochs`), else the one with the fewest letters changed.
 * @param parent dotted name of the object the key stands in; '' for the recipe itself
 * @returns a dotted name
 */
export function nearestKey(key: string, parent: string): string {
  const name = normalized(key);
  const scored = dottedKeys.map((dotted) => {
    const last = dotted.slice(dotted.lastIndexOf('.') + 1);
    const isHere = dotted === (parent === '' ? last : `${parent}.${last}`);
    let score = distance(name, normalized(last));
    if (name.length > 2 && `_${last}_`.includes(`_${name}_`)) score = Math.min(score, 1.5);
    return { dotted, score: score + (isHere ? 0 : 0.75) };
  });
  return scored.reduce((best, next) => (next.score < best.score ? next : best)).dotted;
}

/** The word that is likest to another, of those that are allowed. */
export function nearestWord(word: string, words: readonly string[]): string | undefined {
  const [best] = words
    .map((candidate) => ({ candidate, score: distance(normalized(word), normalized(candidate)) }))
    .sort((a, b) => a.score - b.score);
  return best && best.score <= Math.max(2, word.length / 2) ? best.candidate : undefined;
}

/** `learningRate`, `learning-rate` and `learning_rate` are one name to a person. */
function normalized(name: string): string {
  return name
    .replace(/([a-z\d])([A-Z])/g, '$1_$2')
    .replaceAll(/[\s-]/g, '_')
    .toLowerCase();
}
