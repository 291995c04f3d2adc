/** Whatever goes wrong while VMs are made and deleted, none is forgotten: they cost money. `npm run bench -- provision-faults` tries more. */
import { beforeAll, describe, expect, it } from 'vitest';
import { buildRunner } from '../support/runner';
import { sshdMissing } from '../support/ssh/sshd';
import { liveFaultily } from './faultyLives';

describe.skipIf(sshdMissing)(`VMs, while calls fail and processes die${sshdMissing ? ` (${sshdMissing})` : ''}`, () => {
  beforeAll(buildRunner);

  it('are all accounted for, none twice, and gone when they are deleted', async () => {
    const { notes, made, killed, ...counts } = await liveFaultily(9, 1, () => {});
    expect(notes).toEqual([]);
    expect(counts).toEqual({ provisions: 9, unaccounted: 0, duplicates: 0, undeleted: 0 });
    expect(made).toBeGreaterThan(4);
    expect(killed).toBeGreaterThan(1);
  });
});
