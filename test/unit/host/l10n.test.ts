import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { recipeJsonSchema } from '@runner/recipe/jsonSchema';
import { beforeAll, describe, expect, it } from 'vitest';
import { collectTexts, LANGUAGES } from '../../../scripts/l10n.mjs';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const read = (path: string) => JSON.parse(readFileSync(`${ROOT}/${path}`, 'utf8')) as Record<string, string>;

/** What must come through a translation unchanged: places for values, command links, code. */
function fixed(text: string): string[] {
  return (text.match(/\{\d+\}|\(command:[^)]*\)|\$\([a-z~-]+\)|`[^`]*`/g) ?? [])
    .filter((part) => !part.startsWith('`ssh:'))
    .sort();
}

function wrong(texts: Record<string, string>, translated: Record<string, string>): string[] {
  return Object.entries(texts)
    .filter(([key, text]) => translated[key]?.trim() && fixed(text).join() !== fixed(translated[key]).join())
    .map(([key]) => key);
}

let texts: Record<string, string>;
beforeAll(async () => {
  const collected = Object.entries(await collectTexts());
  texts = Object.fromEntries(collected.map(([key, text]) => [key, typeof text === 'string' ? text : text.message]));
});

describe.each(LANGUAGES)('in %s', (language) => {
  it('everything the extension and its panels say is translated (npm run l10n lists what is not)', () => {
    const translated = read(`l10n/bundle.l10n.${language}.json`);
    expect(Object.keys(texts).length).toBeGreaterThan(100);
    expect(Object.keys(texts).filter((key) => !translated[key]?.trim())).toEqual([]);
    expect(Object.keys(translated).filter((key) => !(key in texts))).toEqual([]);
  });

  it('no value, link or icon is lost on the way', () => {
    expect(wrong(texts, read(`l10n/bundle.l10n.${language}.json`))).toEqual([]);
    const english = read('package.nls.json');
    expect(wrong(english, read(`package.nls.${language}.json`))).toEqual([]);
  });

  it('every key of a recipe is explained', () => {
    const translated = read(`l10n/recipe.schema.${language}.json`);
    const described = [...descriptions(recipeJsonSchema())];
    expect(described.length).toBeGreaterThan(40);
    expect(described.filter((text) => !translated[text])).toEqual([]);
    expect(wrong(Object.fromEntries(described.map((text) => [text, text])), translated)).toEqual([]);
  });
});

it('the collected texts are those of the sources (npm run l10n renews them)', () => {
  expect(Object.keys(read('l10n/bundle.l10n.json'))).toEqual(Object.keys(texts));
});

function* descriptions(node: unknown): Generator<string> {
  if (typeof node !== 'object' || node === null) return;
  if ('description' in node && typeof node.description === 'string') yield node.description;
  for (const child of Object.values(node)) yield* descriptions(child);
}
