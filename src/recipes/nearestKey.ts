/** Which key of a recipe somebody may have meant. */
import { distance } from 'fastest-levenshtein';
import type { KeyPath } from './recipeText';

/** The part of a JSON Schema that says which keys there are. */
export interface SchemaNode {
  properties?: Record<string, SchemaNode>;
  anyOf?: SchemaNode[];
}

/** The keys that an object of the recipe knows. */
export function knownKeys(schema: SchemaNode, parent: KeyPath): string[] {
  let nodes = [schema];
  for (const key of parent) {
    nodes = branches(nodes).flatMap((node) => node.properties?.[String(key)] ?? []);
  }
  return branches(nodes).flatMap((node) => Object.keys(node.properties ?? {}).filter((key) => !key.startsWith('$')));
}

function branches(nodes: readonly SchemaNode[]): SchemaNode[] {
  return nodes.flatMap((node) => [node, ...branches(node.anyOf ?? [])]);
}

/** At most three keys, the likeliest first: those that hold the word, then those with the fewest letters changed. */
export function nearestKeys(key: string, keys: readonly string[]): string[] {
  const name = normalized(key);
  const score = (candidate: string) => {
    const letters = distance(name, candidate);
    return name.length > 2 && `_${candidate}_`.includes(`_${name}_`) ? Math.min(letters, 1.5) : letters;
  };
  return keys
    .map((candidate) => ({ candidate, score: score(candidate) }))
    .filter(({ candidate, score }) => score <= Math.max(2, candidate.length / 2.5))
    .sort((a, b) => a.score - b.score)
    .slice(0, 3)
    .map(({ candidate }) => candidate);
}

/** `learningRate`, `learning-rate` and `learning_rate` are one name to a person. */
function normalized(name: string): string {
  return name
    .replace(/([a-z\d])([A-Z])/g, '$1_$2')
    .replaceAll(/[\s-]/g, '_')
    .toLowerCase();
}
