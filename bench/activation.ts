/**
 * How long VS Code waits for the extension when a window opens: `npm run bench -- activation [--windows N]`. The packaged
 * extension in a real VS Code, a fresh window each time; VS Code's own clock, as "Developer: Startup Performance" shows it.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { findChromium, installVsCode } from '../scripts/lib/vscode.mjs';
import { packageExtension } from '../scripts/package.mjs';
import { VsCode } from '../test/support/vscode/vsCode';
import type { Window } from '../test/support/vscode/window';
import { median } from './lib/statistics';

const LIMIT_MS = 150;

const { values } = parseArgs({ options: { windows: { type: 'string', default: '7' } } });
const say = (line: string) => process.stderr.write(`${line}\n`);

const browser = await findChromium(say);
const missing = 'missing' in browser ? browser.missing : await installVsCode(say);
if (missing !== undefined || 'missing' in browser) {
  say(`There is no VS Code to measure in: ${missing}`);
  process.exit(1);
}

const dir = await mkdtemp(join(tmpdir(), 'tuneyard-activation-'));
try {
  const vsix = await packageExtension(join(dir, 'tuneyard.vsix'));
  await using code = await VsCode.start({ from: { chromium: browser.path, vsix } });
  // The first one fills caches of VS Code that a person has full.
  await measure(await code.open());
  const times: Times[] = [];
  for (let i = 0; i < Number(values.windows); i++) {
    const window = await code.open();
    times.push(await measure(window));
    await window.page.context().close();
    const { load, activate } = times.at(-1)!;
    console.log(`window ${i + 1}  load ${load} ms  activate ${activate} ms`);
  }
  const total = median(times.map(({ load, activate }) => load + activate));
  if (total > LIMIT_MS) process.exitCode = 1;
  console.log(
    JSON.stringify({
      bench: 'activation',
      activation_ms: total,
      load_ms: median(times.map(({ load }) => load)),
      activate_ms: median(times.map(({ activate }) => activate)),
      windows: times.length,
    }),
  );
} finally {
  await rm(dir, { recursive: true, force: true });
}

/** Milliseconds: of reading and running the bundle, and of `activate`. */
interface Times {
  load: number;
  activate: number;
}

/** The line of this extension in VS Code's table: its name, whether it was eager, and its times. */
async function measure(window: Window): Promise<Times> {
  for (let tries = 1; ; tries++) {
    const text = await window.startupPerformance();
    const line = text.split('\n').find((each) => each.includes('tuneyard.tuneyard'));
    const [load, activate] = line?.split('|').slice(3, 5).map(Number) ?? [];
    if (load !== undefined && activate !== undefined && !Number.isNaN(load + activate)) return { load, activate };
    // It is activated when the start is over, and the table may have been made before.
    if (tries === 20) throw new Error(`VS Code tells no time of the extension: ${line ?? text.slice(0, 2000)}`);
    await sleep(1000);
  }
}
