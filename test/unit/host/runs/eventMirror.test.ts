/** This machine's copy of a run's events, whatever was done to it. */
import { appendFile, mkdtemp, readdir, readFile, rm, stat, truncate, utimes } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EventMirror } from '@host/runs/eventMirror';
import type { RunRef } from '@host/runs/runs';
import type { RunEvent } from '@protocol/events';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'tuneyard-mirror-'));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

const REF: RunRef = { host: 'ssh:gpu', run: 'mine' };
const range = (from: number, to: number, text = 'ü') =>
  Array.from({ length: to - from + 1 }, (_, i): RunEvent => {
    const seq = from + i;
    const time = '2026-11-22T12:00:00.000Z';
    return { type: 'generation', step: seq, seq, time, prompt: '', text: `${text}${seq}`, weights: '' };
  });

async function read(mirror: EventMirror, ref = REF): Promise<RunEvent[]> {
  const all: RunEvent[] = [];
  for await (const events of mirror.read(ref)) all.push(...events);
  return all;
}
const file = async () => join(dir, (await readdir(dir))[0]!);

async function written(mirror: EventMirror, ...parts: RunEvent[][]): Promise<void> {
  for (const events of parts) mirror.append(REF, events);
  await mirror.settled();
}

describe('the copy of a run’s events', () => {
  it('gives back what was written, in another window too', async () => {
    const mirror = new EventMirror(dir);
    await written(mirror, range(1, 3), range(4, 900));
    expect(await read(new EventMirror(dir))).toEqual(range(1, 900));
    expect(await read(mirror, { ...REF, run: 'other' })).toEqual([]);
  });

  it('stands events larger than what is read at once', async () => {
    const [large, small] = [range(1, 3, 'ü'.repeat(2_000_000)), range(4, 5)];
    await written(new EventMirror(dir), large, small);
    expect(await read(new EventMirror(dir))).toEqual([...large, ...small]);
    await written(new EventMirror(dir), range(5, 6));
    expect((await read(new EventMirror(dir))).map(({ seq }) => seq)).toEqual([1, 2, 3, 4, 5, 6]);
  });

  it('goes on behind a half line', async () => {
    await written(new EventMirror(dir), range(1, 3));
    await truncate(await file(), (await stat(await file())).size - 5);
    const mirror = new EventMirror(dir);
    expect(await read(mirror)).toEqual(range(1, 2));
    await written(mirror, range(3, 6));
    expect(await read(new EventMirror(dir))).toEqual(range(1, 6));
  });

  it('has no doubles where two windows write to it', async () => {
    const [one, two] = [new EventMirror(dir), new EventMirror(dir)];
    for (let seq = 1; seq < 60; seq += 3) {
      await Promise.all([written(one, range(1, seq)), written(two, range(Math.max(1, seq - 5), seq + 2))]);
    }
    expect(await read(new EventMirror(dir))).toEqual(range(1, 60));
    // Each did not write all of it.
    expect((await readFile(await file(), 'utf8')).trim().split('\n').length).toBeLessThan(120);
  });

  it('ends before a gap, and takes what follows from there', async () => {
    await written(new EventMirror(dir), range(1, 3));
    await appendFile(await file(), `${JSON.stringify(range(7, 7)[0])}\n`);
    const mirror = new EventMirror(dir);
    expect(await read(mirror)).toEqual(range(1, 3));
    await written(mirror, range(4, 8));
    expect(await read(new EventMirror(dir))).toEqual(range(1, 8));
  });

  it('does not begin in the middle where another window removed it', async () => {
    const mirror = new EventMirror(dir);
    await written(mirror, range(1, 3));
    await rm(await file());
    await written(mirror, range(4, 5));
    expect(await read(new EventMirror(dir))).toEqual([]);
  });

  it('is removed with its run, and only that', async () => {
    const mirror = new EventMirror(dir);
    const other = { ...REF, host: 'local' };
    mirror.append(other, range(1, 2));
    await written(mirror, range(1, 3));
    mirror.remove(REF);
    await mirror.settled();
    expect([await read(mirror), await read(mirror, other)]).toEqual([[], range(1, 2)]);
  });

  it('keeps within its bounds; what was looked at last stays longest', async () => {
    const mirror = new EventMirror(dir, 55_000);
    const text = 'x'.repeat(10_000);
    const ref = (run: string) => ({ host: 'local', run });
    for (const [run, count] of [
      ['a', 1],
      ['b', 2],
      ['c', 2],
    ] as const) {
      mirror.append(ref(run), range(1, count, text));
      await mirror.settled();
    }
    for (const name of await readdir(dir)) await utimes(join(dir, name), 1e9, 1e9);
    await read(mirror, ref('a'));
    mirror.append(ref('d'), range(1, 1, text));
    await mirror.settled();
    const left = await Promise.all(['a', 'b', 'c', 'd'].map(async (run) => (await read(mirror, ref(run))).length));
    expect(left).toEqual([1, 0, 0, 1]);
  });
});
