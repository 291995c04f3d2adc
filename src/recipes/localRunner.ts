/**
 * The runner's own command line, run on this machine for what needs neither ONNX Runtime nor a connection: looking at
 * data and estimating memory. It reads recipes, data and models with the very code that training uses.
 */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { ERROR_CODES, type ErrorCode, type ErrorPlace, formatPlace, TuneyardError } from '@protocol/errors';
import * as l10n from '@vscode/l10n';

export interface LocalRunOptions {
  cwd?: string;
  signal?: AbortSignal;
  /** Whether models may not be downloaded. */
  offline?: boolean;
  /** Default: 10 minutes. */
  timeoutMs?: number;
}

export class LocalRunner {
  /**
   * @param program the runner's `bin/tuneyard.mjs`
   * @param hubEndpoint the model hub's address
   */
  constructor(
    private readonly program: string,
    private readonly hubEndpoint: () => string | undefined,
  ) {}

  /**
   * Runs a command to its end.
   * @returns its last line of data
   * @throws TuneyardError what the command failed with; `cancelled`; `timed_out`
   */
  async run<T>(argv: readonly string[], options: LocalRunOptions = {}): Promise<T> {
    const { signal, timeoutMs = 600_000, offline = false } = options;
    if (signal?.aborted) throw new TuneyardError('cancelled', 'cancelled.');
    const endpoint = this.hubEndpoint();
    // Electron's program is Node when it is asked to be.
    const child = spawn(process.execPath, [this.program, ...argv, '--json'], {
      env: {
        ...process.env,
        ELECTRON_RUN_AS_NODE: '1',
        ...(endpoint ? { HF_ENDPOINT: endpoint } : {}),
        ...(offline ? { HF_HUB_OFFLINE: '1' } : {}),
      },
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const end = () => child.kill('SIGKILL');
    let isLate = false;
    const timer = setTimeout(() => {
      isLate = true;
      end();
    }, timeoutMs);
    signal?.addEventListener('abort', end, { once: true });
    let last: unknown;
    let errors = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      errors = (errors + text).slice(-4000);
    });
    const lines = createInterface({ input: child.stdout });
    lines.on('line', (line) => {
      last = parseLine(line) ?? last;
    });
    try {
      const [code] = await Promise.all([
        new Promise<number | null>((settle, reject) => child.on('error', reject).on('close', settle)),
        new Promise<void>((settle) => lines.on('close', settle)),
      ]);
      if (signal?.aborted) throw new TuneyardError('cancelled', 'cancelled.');
      if (isLate)
        throw new TuneyardError(
          'timed_out',
          l10n.t('This took too long and was ended; the data may be too large to look at here.'),
        );
      if (code === 0 && last !== undefined) return last as T;
      throw errorOf(last, errors);
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', end);
    }
  }
}

function parseLine(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

interface ErrorLine {
  type: 'error';
  code: string;
  message: string;
  place?: ErrorPlace;
  data?: Record<string, unknown>;
}

function errorOf(line: unknown, stderr: string): TuneyardError {
  const { type, code, message, place, data } = (line ?? {}) as Partial<ErrorLine>;
  if (type !== 'error' || message === undefined) {
    return new TuneyardError('internal', l10n.t('The runner on this machine did not start: {0}', stderr.trim() || '?'));
  }
  const prefix = place ? `${formatPlace(place)}: ` : '';
  const what = message.startsWith(prefix) ? message.slice(prefix.length) : message;
  const known = code !== undefined && code in ERROR_CODES ? (code as ErrorCode) : 'internal';
  return new TuneyardError(known, what, { ...(place ? { place } : {}), ...(data ? { data } : {}) });
}
