/** The runner as it is shipped: the bundle, started as a program of its own. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { build } from '../../scripts/build.mjs';

const PROGRAM = fileURLToPath(new URL('../../remote-runner/bin/tuneyard.mjs', import.meta.url));

/** Builds the bundle; once a test file, in `beforeAll`. */
export async function buildRunner(): Promise<void> {
  if (!(await build(() => {}))) throw new Error('the runner does not build');
}

export interface RunnerOptions {
  /** `TUNEYARD_HOME`, so that no test touches a person's runs. */
  home: string;
  cwd?: string;
}

/** Starts a command; what it says is the caller's to read. */
export function startRunner(argv: readonly string[], { home, cwd }: RunnerOptions) {
  return spawn(process.execPath, [PROGRAM, ...argv], {
    cwd,
    env: { ...process.env, TUNEYARD_HOME: home, HF_ENDPOINT: 'http://127.0.0.1:9' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

/** Runs a command to its end. `objects` are the lines of stdout, parsed. */
export async function runRunner(argv: readonly string[], options: RunnerOptions) {
  const child = startRunner(argv, options);
  let [stdout, stderr] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text) => {
    stderr += text;
  });
  const [status] = (await once(child, 'close')) as [number | null];
  const objects = <T>(): T[] =>
    stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as T);
  return { status, stdout, stderr, objects };
}
