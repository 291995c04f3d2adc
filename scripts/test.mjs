/**
 * `npm test`: installs and builds where needed, runs every test, and ends with the line `N passed, N failed, N skipped`.
 * What follows `--` goes to vitest: `npm test -- test/unit/data`.
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from './build.mjs';
import { node } from './lib/command.mjs';
import { installDebian } from './lib/debian.mjs';
import { install } from './lib/install.mjs';

/** What tests need beside Node. */
const PACKAGES = [
  // Hosts over SSH; two machines in network namespaces.
  ...['openssh-server', 'iproute2'],
  // Trainings on several ranks: both families of MPI, and NCCL's stand-in, which is written in C.
  ...['openmpi-bin', 'mpich', 'libmpich-dev', 'gcc'],
];

process.exitCode = await main();

async function main() {
  const say = (line) => process.stdout.write(`${line}\n`);
  if (!(await install(say))) return 1;
  await installDebian(PACKAGES, say);
  const built = await build(() => {});
  const folder = await mkdtemp(join(tmpdir(), 'tuneyard-test-'));
  const file = join(folder, 'results.json');
  try {
    const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${file}`];
    const status = await node(['node_modules/vitest/vitest.mjs', 'run', ...reporters, ...process.argv.slice(2)]);
    const counts = count(JSON.parse(await readFile(file, 'utf8')));
    if (!built) counts.failed += 1;
    say(`${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`);
    return status !== 0 || counts.failed > 0 ? 1 : 0;
  } catch (error) {
    // vitest did not get as far as writing its results; it has said why.
    say(`0 passed, 1 failed, 0 skipped (${error instanceof Error ? error.message : error})`);
    return 1;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** A file that could not be loaded has no tests to count: it counts as one that failed. */
function count({ numPassedTests, numFailedTests, numPendingTests, numTodoTests, testResults }) {
  const broken = testResults.filter(
    ({ status, assertionResults }) => status === 'failed' && !assertionResults.some((test) => test.status === 'failed'),
  );
  return { passed: numPassedTests, failed: numFailedTests + broken.length, skipped: numPendingTests + numTodoTests };
}
