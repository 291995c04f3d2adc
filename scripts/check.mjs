/** `npm run check`: types, lint and formatting, unused files and exports, architecture, unit tests. All of it, then a verdict. */

import { node } from './lib/command.mjs';
import { install } from './lib/install.mjs';

const CHECKS = [
  ['types', ['node_modules/typescript/bin/tsc', '-b']],
  ['lint and format', ['node_modules/@biomejs/biome/bin/biome', 'check', '--error-on-warnings']],
  ['unused code', ['node_modules/knip/bin/knip.js', '--no-progress']],
  ['tests', ['node_modules/vitest/vitest.mjs', 'run', '--silent=passed-only', 'test/unit', 'test/architecture']],
];

if (!(await install((line) => process.stdout.write(`${line}\n`)))) process.exit(1);
const failed = [];
for (const [name, args] of CHECKS) {
  const begin = performance.now();
  const ok = (await node(args, { quiet: true })) === 0;
  if (!ok) failed.push(name);
  process.stdout.write(`${ok ? '✓' : '✗'} ${name}  ${((performance.now() - begin) / 1000).toFixed(1)} s\n`);
}
if (failed.length > 0) process.stdout.write(`Failed: ${failed.join(', ')}\n`);
process.exitCode = failed.length > 0 ? 1 : 0;
