/** Every test file has a home folder of its own: nothing that a test forgets to say touches a person's runs. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';

const home = mkdtempSync(join(tmpdir(), 'tuneyard-home-'));
process.env.HOME = home;

afterAll(() => rmSync(home, { recursive: true, force: true, maxRetries: 3 }));
