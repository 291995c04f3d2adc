#!/usr/bin/env node
import { existsSync } from 'node:fs';

// What runs for days is a program of its own, at half the memory.
const isWatchdog = process.argv[2] === 'watchdog' && process.argv.length === 3;
const bundle = new URL(`../dist/${isWatchdog ? 'watchdog' : 'cli'}.mjs`, import.meta.url);
if (!existsSync(bundle)) {
  process.stderr.write('tuneyard is not built yet: run `npm run build` in the repository root first.\n');
  process.exit(1);
}
const { main } = await import(bundle.href);
process.exitCode = await main(process.argv.slice(2));
