import { mkdir, readdir, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { joinQueue } from '@runner/runs/deviceQueue';
import { ownIdentity } from '@runner/runs/processIdentity';
import { describe, expect, it, vi } from 'vitest';
import { temporaryFolders } from '../hub/support';

const folder = temporaryFolders();

/** A home with one run in its queue, of a process that is this one but for the change. */
async function homeWith(change: object): Promise<{ home: string; file: string }> {
  const home = await folder();
  await mkdir(join(home, 'queue'));
  const file = join(home, 'queue', '7');
  await writeFile(file, JSON.stringify({ ...ownIdentity(), run: 'other', device: 'cuda:0', ...change }));
  return { home, file };
}

describe('a run waits for its device', () => {
  it('behind one that lives, until that one leaves; not behind one on another GPU', async () => {
    const home = await folder();
    const first = await joinQueue('first', 'cuda:0', home);
    const elsewhere = await joinQueue('elsewhere', 'cuda:1', home);
    await elsewhere.turn(() => expect.fail('its GPU is free'));
    const second = await joinQueue('second', 'cuda:0', home);
    const behind = vi.fn();
    const turn = second.turn(behind);
    await vi.waitFor(() => expect(behind).toHaveBeenCalledWith(['first']));
    await first.leave();
    await turn;
    expect(behind).toHaveBeenCalledTimes(1);
    await second.leave();
    await elsewhere.leave();
    expect(await readdir(join(home, 'queue'))).toEqual([]);
  });

  it.each([
    ['whose process died', { started: '1' }],
    ['from before the machine was started anew', { boot: 'another' }],
    ['on another machine that shares the home', { boot: 'another', host: 'elsewhere' }],
  ])('not behind one %s', async (_, change) => {
    const { home } = await homeWith(change);
    const place = await joinQueue('mine', 'cuda:0', home);
    await place.turn(() => expect.fail('nobody is in front'));
    await place.leave();
  });

  it('behind one in another container, whose process cannot be seen, as long as that shows it is alive', async () => {
    const { home, file } = await homeWith({ namespace: 'pid:[1]', host: 'container' });
    const place = await joinQueue('mine', 'cuda:0', home);
    const behind = vi.fn();
    const turn = place.turn(behind);
    await vi.waitFor(() => expect(behind).toHaveBeenCalledWith(['other']));
    const long = new Date(Date.now() - 600_000);
    await utimes(file, long, long);
    await turn;
    await place.leave();
    expect(await readdir(join(home, 'queue'))).toEqual([]);
  });
});
