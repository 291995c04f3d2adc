#!/usr/bin/env node
import { existsSync } from 'node:fs';

const [command, ...rest] = process.argv.slice(2);
// VMs are made from a person's machine: that program lies beside the runner there, and is not sent along with it.
const isVm = command === 'vm';
// What runs for days is a program of its own, at half the memory.
const isWatchdog = command === 'watchdog' && rest.length === 0;
const path = isVm ? '../../dist/cloud.cjs' : `../dist/${isWatchdog ? 'watchdog' : 'cli'}.mjs`;
const bundle = new URL(path, import.meta.url);
if (!existsSync(bundle)) {
  const why = isVm && existsSync(new URL('../dist/cli.mjs', import.meta.url));
  process.stderr.write(
    why
      ? 'VMs are made from the machine on which Tuneyard is installed as an extension, not from one that it trains on.\n'
      : 'tuneyard is not built yet: run `npm run build` in the repository root first.\n',
  );
  process.exit(1);
}
const { main } = await import(bundle.href);
process.exitCode = await main(isVm ? rest : process.argv.slice(2));
