import { once } from 'node:events';
import { appendFile, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { RunEvent, RunEventBody } from '@protocol/events';
import { followEvents, openEventLog, readEvents } from '@runner/runs/eventLog';
import { describe, expect, it } from 'vitest';
import { failure, temporaryFolders } from '../hub/support';
import { mountDisk, processOf } from './support';

const folder = temporaryFolders();
const start = processOf('eventProcess');
const small = mountDisk('size=64k');

const warning = (step: number, message = 'what happened'): RunEventBody => ({
  type: 'warning',
  step,
  code: 'test',
  message,
});

async function logOf(dir: string, count: number, message?: string): Promise<void> {
  const log = await openEventLog(dir);
  for (let i = 1; i <= count; i++) log.append(warning(i, message));
  await log.close();
}

async function seen(events: AsyncIterable<RunEvent>): Promise<number[]> {
  const numbers: number[] = [];
  for await (const { seq } of events) numbers.push(seq);
  return numbers;
}

const lines = async (dir: string) =>
  (await readFile(join(dir, 'events.jsonl'), 'utf8'))
    .split(/(?<=\n)/)
    .map((line) => ({ seq: JSON.parse(line).seq, whole: line.endsWith('\n') }));

describe('the events of a run', () => {
  it('are numbered from 1, dated, and go on behind the last one when a run is resumed', async () => {
    const dir = await folder();
    const log = await openEventLog(dir);
    expect(log.lastSeq).toBe(0);
    const first = log.append(warning(7));
    expect(first).toEqual({ ...warning(7), seq: 1, time: first.time });
    expect(new Date(first.time).toISOString()).toBe(first.time);
    await log.close();

    const resumed = await openEventLog(dir);
    expect(resumed.lastSeq).toBe(1);
    expect(resumed.append(warning(8)).seq).toBe(2);
    await resumed.close();
    const events: RunEvent[] = [];
    for await (const event of readEvents(dir)) events.push(event);
    expect(events).toEqual([first, expect.objectContaining({ seq: 2, step: 8 })]);
  });

  it('are all there after a kill right behind the last one', async () => {
    const dir = await folder();
    await once(start(dir), 'exit');
    expect(await seen(readEvents(dir))).toEqual([1, 2, 3]);
  });

  it.each([
    ['half a line', '{"seq":4,"time":"2026-'],
    ['a line without its end', '{"seq":4,"type":"warning"}'],
    ['zeros of a power cut', `${'\0'.repeat(100_000)}\n`],
    ['several spoilt lines', '\0\0\n\n{"seq"\n{"type":"log"}\n'],
  ])('go on without a gap behind a crash that left %s', async (_, torn) => {
    const dir = await folder();
    await logOf(dir, 3);
    await appendFile(join(dir, 'events.jsonl'), torn);
    expect(await seen(readEvents(dir))).toEqual([1, 2, 3]);
    const log = await openEventLog(dir);
    expect(log.lastSeq).toBe(3);
    log.append(warning(4));
    await log.close();
    expect(await lines(dir)).toEqual([1, 2, 3, 4].map((seq) => ({ seq, whole: true })));
  });

  it('begin anew where a crash spoilt the very first line', async () => {
    const dir = await folder();
    await writeFile(join(dir, 'events.jsonl'), '{"seq":1,"ty');
    await logOf(dir, 1);
    expect(await lines(dir)).toEqual([{ seq: 1, whole: true }]);
  });

  it('may be long, and hold line breaks and any letters', async () => {
    const dir = await folder();
    const text = `ä€😀\n\u2028${'x'.repeat(200_000)}`;
    await logOf(dir, 2, text);
    await logOf(dir, 1, text);
    for await (const event of readEvents(dir, 2)) expect(event).toMatchObject({ seq: 3, message: text });
    expect(await seen(readEvents(dir, 1))).toEqual([2, 3]);
  });

  it('can be read on from the last one that was seen; a line being written is not there yet', async () => {
    const dir = await folder();
    await logOf(dir, 4);
    await appendFile(join(dir, 'events.jsonl'), '{"seq":5');
    expect(await seen(readEvents(dir, 2))).toEqual([3, 4]);
    expect(await seen(readEvents(dir, 4))).toEqual([]);
  });

  it('are missed by name where a folder holds none', async () => {
    expect(await failure(seen(readEvents(await folder())))).toMatchObject({ code: 'run_not_found', exitStatus: 2 });
    expect(await failure(openEventLog(join(await folder(), 'none')))).toMatchObject({ code: 'file_not_found' });
  });

  it.skipIf(!small)('stay whole lines on a full disk, and go on when there is space', async () => {
    const other = join(small!, 'other');
    await writeFile(other, Buffer.alloc(32 << 10));
    const log = await openEventLog(small!);
    const fill = async () => {
      for (let step = 1; ; step++) log.append(warning(step, 'x'.repeat(1000)));
    };
    expect(await failure(fill())).toMatchObject({ code: 'disk_full', exitStatus: 1 });
    const written = log.lastSeq;
    expect(written).toBeGreaterThan(10);
    expect((await lines(small!)).at(-1)).toEqual({ seq: written, whole: true });

    await rm(other);
    log.append(warning(1, 'x'.repeat(1000)));
    expect((await lines(small!)).at(-1)).toEqual({ seq: written + 1, whole: true });
    await log.close();
  });
});

describe('following a run', () => {
  it('tells every event once, as it comes, from before there is a file until the caller has enough', async () => {
    const dir = await folder();
    const enough = new AbortController();
    const got: number[] = [];
    const following = (async () => {
      for await (const { seq } of followEvents(dir, 0, enough.signal)) {
        got.push(seq);
        if (seq === 5) enough.abort();
      }
    })();
    await logOf(dir, 2);
    await until(() => got.length === 2);

    // A crash in the middle of a letter, the cut, and the resumed run's next event.
    const path = join(dir, 'events.jsonl');
    const whole = (await stat(path)).size;
    await appendFile(path, Buffer.from('{"seq":3,"type":"warning","message":"ä').subarray(0, -1));
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(got).toEqual([1, 2]);
    await truncate(path, whole);
    await logOf(dir, 3);
    await following;
    expect(got).toEqual([1, 2, 3, 4, 5]);
  });

  it('begins behind what was seen already, and ends at once when it is not wanted any more', async () => {
    const dir = await folder();
    await logOf(dir, 3);
    const enough = new AbortController();
    const events = followEvents(dir, 2, enough.signal);
    expect((await events.next()).value).toMatchObject({ seq: 3 });
    const next = events.next();
    enough.abort();
    expect(await next).toEqual({ value: undefined, done: true });
  });
});

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 20));
}
