/** When a VM may end, and what it is born with so that it can. */
import { startupMetadata, startupScript, terminationActionOf, watchdogSettings } from '@host/cloud/startup';
import type { CreateVm } from '@protocol/cloud';
import { DELETE_AT_ITEM, type WatchdogSettings } from '@protocol/watchdog';
import { decide, type Seen } from '@runner/watchdog/decide';
import { readOrders } from '@runner/watchdog/readSettings';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

const HOUR = 3_600_000;
const settings: WatchdogSettings = {
  vm: 'vm',
  idle_minutes: 30,
  idle_action: 'delete',
  end_after_last_run: false,
  artifacts: { kind: 'fetch' },
  labels: {},
  spot: false,
};
const seen: Seen = {
  now: 100 * HOUR,
  live: 0,
  busy: undefined,
  idleSince: 100 * HOUR,
  hadRuns: false,
  deleteAt: undefined,
};

const someSettings = fc.record({
  idle_minutes: fc.integer({ min: 0, max: 600 }),
  end_after_last_run: fc.boolean(),
  idle_action: fc.constantFrom('delete' as const, 'stop' as const),
});
const idleFor = fc.integer({ min: 0, max: 48 * HOUR });

describe('a VM', () => {
  it('never ends before its time while anything is done on it, or cannot be told', () => {
    fc.assert(
      fc.property(someSettings, idleFor, fc.integer({ min: 0, max: 3 }), fc.boolean(), (more, idle, live, hadRuns) => {
        const busy = live === 0 ? 'something' : undefined;
        const now = { ...seen, live, busy, hadRuns, idleSince: seen.now - idle, deleteAt: seen.now + HOUR };
        expect(decide(now, { ...settings, ...more })).toEqual({ kind: 'stay' });
      }),
    );
  });

  it('ends as it was asked to once it was idle for so long, to the second', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 600 }),
        fc.constantFrom('delete' as const, 'stop' as const),
        (minutes, action) => {
          const asked = { ...settings, idle_minutes: minutes, idle_action: action };
          const at = (idle: number) => decide({ ...seen, idleSince: seen.now - idle }, asked);
          expect(at(minutes * 60_000 - 1000)).toEqual({ kind: 'stay' });
          expect(at(minutes * 60_000)).toEqual({ kind: 'end', why: 'idle', action });
        },
      ),
    );
  });

  it('ends at its time whatever goes on, early enough for a checkpoint', () => {
    const at = (left: number) => decide({ ...seen, live: 2, busy: 'runs', deleteAt: seen.now + left }, settings).kind;
    expect([at(HOUR), at(60_000), at(-HOUR)]).toEqual(['stay', 'end', 'end']);
  });

  it('leaves the time to begin again after a run that failed at once', () => {
    const at = (idle: number) =>
      decide({ ...seen, hadRuns: true, idleSince: seen.now - idle }, { ...settings, end_after_last_run: true }).kind;
    expect([at(0), at(4 * 60_000), at(5 * 60_000)]).toEqual(['stay', 'stay', 'end']);
  });
});

describe('what a VM is born with', () => {
  const create: CreateVm = {
    project: 'p',
    machine_type: 'g2-standard-4',
    zones: ['us-central1-a'],
    provisioning_model: 'SPOT',
  };

  it('is read by its watchdog as it was meant', () => {
    const resume = { bucket: 'b', vm: 'old' };
    const told = watchdogSettings('vm', { ...create, idle_minutes: 5 }, { tuneyard: 'vm' }, resume);
    const items = startupMetadata(told, { user: 'ada', deleteAt: '2026-12-01T00:00:00.000Z' });
    expect(readOrders(items)).toEqual({
      settings: { ...settings, idle_minutes: 5, spot: true, labels: { tuneyard: 'vm' }, resume },
      deleteAt: Date.parse('2026-12-01T00:00:00Z'),
    });
    expect(items['enable-guest-attributes']).toBe('TRUE');
  });

  it('is nothing to act on where it was spoilt', () => {
    const items = startupMetadata(settings, { user: 'ada', deleteAt: 'soon' });
    expect(readOrders(items)?.deleteAt).toBeUndefined();
    for (const spoilt of [
      '',
      '{',
      '{}',
      JSON.stringify({ ...settings, idle_minutes: -1 }),
      JSON.stringify({ ...settings, artifacts: { kind: 'bucket' } }),
    ]) {
      expect(readOrders({ ...items, 'tuneyard-watchdog': spoilt }), spoilt).toBeUndefined();
    }
    expect(readOrders({ [DELETE_AT_ITEM]: '2026-12-01T00:00:00Z' })).toBeUndefined();
  });

  it('keeps the disk of a spot VM, unless its checkpoints go to a bucket', () => {
    expect(terminationActionOf(create)).toBe('STOP');
    expect(terminationActionOf({ ...create, artifacts: { kind: 'bucket', bucket: 'b' } })).toBe('DELETE');
    expect(terminationActionOf({ ...create, provisioning_model: 'STANDARD' })).toBe('DELETE');
  });

  it('does not run what is in a name', () => {
    expect(startupScript("a'; rm -rf / #", 30)).toContain(`user='a'\\''; rm -rf / #'`);
  });
});
