/** Looks at data where it lies: with the runner's command line, on this machine or on a host. */
import { TuneyardError } from '@protocol/errors';
import type { Runner } from '../runner/runner';
import { sendTokenizer } from '../runner/sync';
import type { LocalRunOptions } from './localRunner';

export interface DataLooker {
  /** @returns the command's last line of data. @throws TuneyardError what the command failed with; `cancelled` */
  run<T>(argv: readonly string[], options?: LocalRunOptions): Promise<T>;
}

export class HostLooker implements DataLooker {
  constructor(private readonly runner: Runner) {}

  async run<T>(argv: readonly string[], { signal }: LocalRunOptions = {}): Promise<T> {
    const there = [...argv];
    const model = there.indexOf('--model') + 1;
    if (model > 0) there[model] = await sendTokenizer(this.runner, there[model]!, signal ? { signal } : {});
    let last: unknown;
    await this.runner.job(there, {
      ...(signal && { signal }),
      onLine: ({ data }) => {
        last = data ?? last;
      },
    });
    if (last === undefined) throw new TuneyardError('remote_failed', `${argv[0]} said nothing.`);
    return last as T;
  }
}
