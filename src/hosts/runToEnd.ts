/** Running a program to its end, for every kind of host: its output collected, its time limited. */
import { finished } from 'node:stream/promises';
import { StringDecoder } from 'node:string_decoder';
import * as l10n from '@vscode/l10n';
import type { ExecOptions, ExecResult, HostProcess, RunOptions } from './host';
import { inSeconds, within } from './limits';

const TIMEOUT_MS = 30_000;

export async function runToEnd(
  spawn: (argv: readonly string[], options: RunOptions) => Promise<HostProcess>,
  argv: readonly string[],
  { timeoutMs = TIMEOUT_MS, input, onOutput, signal, ...options }: ExecOptions,
): Promise<ExecResult> {
  const stop = new AbortController();
  const run = async (): Promise<ExecResult> => {
    const process = await spawn(argv, { ...options, signal: stop.signal });
    const collect = (stream: NodeJS.ReadableStream) => {
      const decoder = new StringDecoder('utf8');
      const parts: string[] = [];
      const add = (text: string) => {
        if (text === '') return;
        parts.push(text);
        onOutput?.(text);
      };
      stream.on('data', (data: Buffer) => add(decoder.write(data)));
      return () => {
        add(decoder.end());
        return parts.join('');
      };
    };
    const [stdout, stderr] = [collect(process.stdout), collect(process.stderr)];
    // A program need not read what it is given
    process.stdin.on('error', () => {});
    process.stdin.end(input);
    // The last of the output may come behind the exit status
    const [code] = await Promise.all([process.exit, finished(process.stdout), finished(process.stderr)]);
    return { code, stdout: stdout(), stderr: stderr() };
  };
  try {
    return await within(run(), {
      signals: [signal],
      timeoutMs,
      timeout: () => l10n.t('{0} did not end within {1} s.', argv[0] ?? '', inSeconds(timeoutMs)),
    });
  } finally {
    // Where it is still running, this ends it
    stop.abort();
  }
}
