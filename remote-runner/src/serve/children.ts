/** The runner's own command line as child processes: what is heavy, or must outlive this process, happens there. */
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { ERROR_CODES, type ErrorCode, type ErrorPlace, formatPlace, TuneyardError } from '@protocol/errors';
import { tuneyardHome } from '../runs/runDir';

/** Starts `tuneyard ARGV` with this Node, this program and this home, from whatever folder. */
export function startSelf(argv: readonly string[], options: SpawnOptions): ChildProcess {
  const env = { ...process.env, ...(process.env.TUNEYARD_HOME && { TUNEYARD_HOME: tuneyardHome() }) };
  return spawn(process.execPath, [process.argv[1]!, ...argv], { env, ...options });
}

/** The lines of a stream, those in JSON as objects. */
export function onLines(stream: Readable, listener: (data: object | undefined, text: string) => void): void {
  createInterface({ input: stream, crlfDelay: Number.POSITIVE_INFINITY }).on('line', (text) => {
    listener(text.startsWith('{') ? parseObject(text) : undefined, text);
  });
}

function parseObject(text: string): object | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}

/** The failure that a command wrote as its last line with `--json`; undefined for any other line. */
export function failureOf(line: object): TuneyardError | undefined {
  const { type, code, message, place, data } = line as Record<string, unknown>;
  if (type !== 'error' || typeof code !== 'string' || typeof message !== 'string' || !(code in ERROR_CODES)) {
    return undefined;
  }
  const where = place as ErrorPlace | undefined;
  // The place stands in front of the message, and is put there again.
  const front = where ? `${formatPlace(where)}: ` : '';
  const what = message.startsWith(front) ? message.slice(front.length) : message;
  return new TuneyardError(code as ErrorCode, what, {
    ...(where && { place: where }),
    data: (data as Record<string, unknown> | undefined) ?? {},
  });
}
