import { readFileSync } from 'node:fs';
import { recipeSchema } from '@protocol/recipe';
import { parse } from 'jsonc-parser';
import { describe, expect, it } from 'vitest';
import { CLASSES, HOMES, RACES } from '../../../scripts/backstoryGrammar';
import { characterPrompt, HELD_OUT, makeBackstories } from '../../../scripts/makeBackstories';
import { mobyDick } from '../../../scripts/pretrainText';

const read = (file: string) => readFileSync(new URL(`../../../examples/default/${file}`, import.meta.url), 'utf8');
const stories = makeBackstories();

describe('the example’s backstories', () => {
  it('are the ones in the repository, so that the file can be made again', () => {
    const lines = stories.map((story) => `${JSON.stringify(story)}\n`).join('');
    expect(read('backstories.jsonl')).toBe(lines);
  });

  it('repeat every fact of their prompt, so that a model can learn to write about whom it was asked', () => {
    for (const { text, target } of stories) {
      const facts = /^Character: (.+), (\S+) (\S+) of (.+)\nBackstory:$/.exec(text)?.slice(1) ?? [];
      expect(facts).toHaveLength(4);
      for (const fact of facts) expect(target.toLowerCase()).toMatch(new RegExp(`\\b${fact.toLowerCase()}\\b`));
    }
  });

  it('are plain sentences of a length the small model can take, with no slot left open', () => {
    for (const { target } of stories) {
      const words = target.trim().split(/\s+/).length;
      expect(words).toBeGreaterThanOrEqual(20);
      expect(words).toBeLessThanOrEqual(110);
      expect(target).toMatch(/^ [A-Z][ -~]+[.]$/);
      expect(target).not.toMatch(/[{}]|undefined|\ba [aeiou]/);
    }
  });

  it('use every race, class and home, and are not one story with holes', () => {
    for (const word of [RACES, CLASSES, HOMES].flatMap((table) => Object.keys(table))) {
      expect(stories.some((story) => story.text.includes(word))).toBe(true);
    }
    const sentences = new Map<string, number>();
    for (const sentence of stories.flatMap((story) => story.target.trim().split(/(?<=\.) /))) {
      sentences.set(sentence, (sentences.get(sentence) ?? 0) + 1);
    }
    expect(sentences.size).toBeGreaterThan(600);
    expect(Math.max(...sentences.values())).toBeLessThan(stories.length / 10);
  });

  it('never tell of the heroes that the example asks for', () => {
    const { prompts } = recipeSchema.parse(parse(read('default.tune.json'))).generation;
    expect(prompts).toEqual(HELD_OUT.map(characterPrompt));
    for (const { name } of HELD_OUT) expect(stories.some((story) => story.target.includes(name))).toBe(false);
  });
});

describe('the pretraining text', () => {
  it('is the whole story in clean paragraphs, so that no token is spent on typesetting', () => {
    const text = mobyDick();
    expect(text).toMatch(/^CHAPTER 1\. Loomings\.\n\nCall me Ishmael\. /);
    expect(text).toMatch(/only found another orphan\.\n$/);
    expect(text.match(/^CHAPTER \d+\./gm)).toHaveLength(135);
    expect(text).not.toMatch(/ {2}|\n{3}|\r|[“”‘’]/);
  });
});
