/** Commands that a client asks for, each in a process of its own that ends with it. */
import { homedir } from 'node:os';
import { resolve } from 'node:path';
import { TuneyardError } from '@protocol/errors';
import type { JobEnd, JobLine } from '@protocol/serve';
import { failureOf, onLines, startSelf } from './children';

const ALLOWED = ['compare', 'generate', 'preview', 'estimate', 'doctor', 'export', 'eval'];
const LAST_MESSAGES = 5;
/** Between asking a process to end and ending it. */
const GRACE_MS = 5000;

export interface Job {
  job: string;
  argv: string[];
  cwd?: string;
}

/**
 * @throws TuneyardError what the command failed with; `cancelled`; `internal` for one that broke down without a word
 */
export async function runJob(
  { job, argv, cwd }: Job,
  send: (line: JobLine) => void,
  signal: AbortSignal,
): Promise<JobEnd> {
  if (!ALLOWED.includes(argv[0] ?? '')) {
    throw new TuneyardError('usage', `"${argv[0] ?? ''}" is no command for a job; known are ${ALLOWED.join(', ')}.`);
  }
  const child = startSelf([...argv, '--json'], {
    cwd: cwd === undefined ? homedir() : resolve(homedir(), cwd.replace(/^~\//, '')),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let failure: TuneyardError | undefined;
  const messages: string[] = [];
  onLines(child.stdout!, (data, message) => {
    failure = data && failureOf(data);
    if (!failure) send(data ? { job, data } : { job, message });
  });
  onLines(child.stderr!, (_, message) => {
    if (messages.push(message) > LAST_MESSAGES) messages.shift();
    // A failure's message comes here as well; only once it is known which it was.
    send({ job, message });
  });
  let force: NodeJS.Timeout | undefined;
  const end = () => {
    child.kill('SIGTERM');
    force = setTimeout(() => child.kill('SIGKILL'), GRACE_MS);
  };
  signal.addEventListener('abort', end, { once: true });
  if (signal.aborted) end();
  try {
    const exit = await new Promise<number>((resolve, reject) => {
      child.on('error', reject);
      child.on('close', (code) => resolve(code ?? -1));
    });
    if (signal.aborted) throw new TuneyardError('cancelled', 'cancelled.');
    if (failure) throw failure;
    // `doctor` ends with 1 where it found something, and has said what.
    if (exit === 0 || argv[0] === 'doctor') return { exit };
    throw new TuneyardError(
      'internal',
      `the command ended with status ${exit}: ${messages.join(' ') || 'no message'}.`,
    );
  } finally {
    clearTimeout(force);
    signal.removeEventListener('abort', end);
  }
}
