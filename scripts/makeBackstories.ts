/**
 * Makes the example's data, `examples/default/backstories.jsonl`: fantasy characters as `{"text", "target"}`, the
 * character's facts and its backstory. Seeded, so the file is the same every time.
 *
 *     npx tsx scripts/makeBackstories.ts
 */
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Random } from '../remote-runner/src/data/random';
import { CLASSES, ENDINGS, FIRST_NAMES, HOMES, OPENINGS, QUIRKS, RACES, SURNAMES, WOUNDS } from './backstoryGrammar';

export interface Backstory {
  text: string;
  /** Begins with the blank that parts it from the prompt, as byte-level BPE likes it. */
  target: string;
}

export interface Character {
  name: string;
  race: string;
  class: string;
  home: string;
}

/** Heroes that never come in the data: the example's prompts. */
export const HELD_OUT: readonly Character[] = [
  { name: 'Wren Blackwood', race: 'half-elf', class: 'ranger', home: 'the Salt Marches' },
  { name: 'Bram Holloway', race: 'dwarf', class: 'wizard', home: 'the Iron Coast' },
  { name: 'Mara Ember', race: 'orc', class: 'cleric', home: 'the White Wood' },
  { name: 'Silas Crane', race: 'human', class: 'bard', home: 'the Drowned Isles' },
];

const COUNT = 400;
const SEED = 7;
const MIN_WORDS = 20;
const MAX_WORDS = 110;

/** The prompt: one line of facts, then the word behind which the backstory begins. */
export function characterPrompt({ name, race, class: calling, home }: Character): string {
  return `Character: ${name}, ${race} ${calling} of ${home}\nBackstory:`;
}

/** `count` (at most 476, as many as there are names to give) backstories of different characters; the same for the same seed. */
export function makeBackstories(count: number = COUNT, seed: number = SEED): Backstory[] {
  const random = new Random(seed);
  const made: Backstory[] = [];
  const names = new Set(HELD_OUT.map((character) => character.name));
  while (made.length < count) {
    const gender = pick(random, ['she', 'he'] as const);
    const first = pick(random, FIRST_NAMES[gender]);
    const name = `${first} ${pick(random, SURNAMES)}`;
    const character: Character = {
      name,
      race: pick(random, Object.keys(RACES)),
      class: pick(random, Object.keys(CLASSES)),
      home: pick(random, Object.keys(HOMES)),
    };
    // A full name twice would let the model learn one story by heart and tell it of another.
    if (names.has(name)) continue;
    const story = tell(random, character, first, gender);
    const words = story.split(/\s+/).length;
    if (words < MIN_WORDS || words > MAX_WORDS) continue;
    names.add(name);
    made.push({ text: characterPrompt(character), target: ` ${story}` });
  }
  return made;
}

/** One story: an arc over opening, race, craft, wound, vow, quirk, secret and ending, in one of several orders. */
function tell(random: Random, character: Character, first: string, gender: 'she' | 'he'): string {
  const calling = CLASSES[character.class]!;
  const wound = pick(random, WOUNDS);
  const opening = () => pick(random, OPENINGS);
  const race = () => pick(random, RACES[character.race]!);
  const learnt = () => pick(random, calling.learnt);
  const happened = () => pick(random, wound.happened);
  const vow = () => pick(random, wound.vow);
  const secret = () => pick(random, wound.secret);
  const quirk = () => pick(random, QUIRKS);
  const ending = () => pick(random, ENDINGS);
  // Some heroes are a line in a ledger, of others one never hears the end: lengths differ as they do in people's own data.
  const arc = pick(random, [
    [opening, happened],
    [opening, vow],
    [opening, learnt, quirk],
    [opening, happened, vow],
    [opening, happened, vow, secret],
    [opening, happened, learnt, vow],
    [opening, learnt, happened, vow],
    [opening, race, happened, vow],
    [opening, happened, vow, quirk, ending],
    [opening, learnt, happened, vow, ending],
    [opening, race, happened, vow, secret],
    [opening, happened, vow, quirk, secret],
    [opening, race, quirk, happened, vow],
    [opening, race, learnt, happened, vow, secret, ending],
    [opening, learnt, quirk, race, happened, vow, secret, ending],
  ]);
  const slots: Record<string, string> = {
    ...PRONOUNS[gender],
    name: character.name,
    first,
    race: character.race,
    arace: withArticle(character.race),
    class: character.class,
    home: character.home,
    detail: HOMES[character.home]!,
    tool: calling.tool,
    teacher: calling.teacher,
  };
  return arc.map((sentence) => fill(sentence(), slots)).join(' ');
}

/** Replaces slots until none is left (a teacher's description has slots of its own). */
function fill(pattern: string, slots: Record<string, string>): string {
  let text = pattern;
  while (text.includes('{')) text = text.replace(/\{(\w+)\}/g, (_, slot: string) => slots[slot]!);
  return text.replaceAll('’', "'");
}

const PRONOUNS = {
  she: { he: 'she', him: 'her', his: 'her', He: 'She', His: 'Her' },
  he: { he: 'he', him: 'him', his: 'his', He: 'He', His: 'His' },
} as const;

const withArticle = (word: string): string => `${/^[aeiou]/.test(word) ? 'an' : 'a'} ${word}`;

function pick<T>(random: Random, choices: readonly T[]): T {
  return choices[random.nextInt(choices.length)]!;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const stories = makeBackstories();
  const file = fileURLToPath(new URL('../examples/default/backstories.jsonl', import.meta.url));
  writeFileSync(file, stories.map((story) => `${JSON.stringify(story)}\n`).join(''));
  process.stdout.write(`${stories.length} backstories in ${file}\n`);
}
