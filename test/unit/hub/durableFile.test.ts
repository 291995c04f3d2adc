import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { replaceFile, writeSynced } from '@runner/hub/durableFile';
import { describe, expect, it } from 'vitest';
import { failure, temporaryFolders } from './support';

const folder = temporaryFolders();

describe('a file written durably', () => {
  it('is removed again when it could not be finished', async () => {
    const dir = await folder();
    const stop = new AbortController();
    async function* parts() {
      yield Buffer.from('half');
      stop.abort();
      yield Buffer.from('whole');
    }
    expect((await failure(writeSynced(join(dir, 'a'), parts(), stop.signal))).code).toBe('cancelled');
    expect(await readdir(dir)).toEqual([]);
  });

  it('never takes the place of one that was there, nor removes it', async () => {
    const file = join(await folder(), 'a');
    await writeFile(file, 'precious');
    expect((await failure(writeSynced(file, [Buffer.from('new')]))).code).toBe('not_writable');
    expect(await readFile(file, 'utf8')).toBe('precious');
  });

  it('is one of two whole ones when both are written at once', async () => {
    const dir = await folder();
    const file = join(dir, 'a');
    await Promise.all(['one', 'two'].map((text) => replaceFile(file, [Buffer.from(text)])));
    expect(['one', 'two']).toContain(await readFile(file, 'utf8'));
    expect(await readdir(dir)).toEqual(['a']);
  });
});
