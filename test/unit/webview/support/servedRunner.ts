/** The runner as panels know it, over a real `tuneyard serve` on this machine. */
import type { Host } from '@host/hosts/host';
import type { Runner, Runners } from '@host/runner/runner';
import { TuneyardError } from '@protocol/errors';
import type { Served } from '../../../support/serve';

export function servedRunner({ peer }: Served, label: string): Runner {
  let jobs = 0;
  const host = { id: 'local', label } as Host;
  return {
    host,
    peer,
    installed: { node: process.execPath, program: '' },
    async job(argv, { cwd, signal, onLine } = {}) {
      const job = `job-${++jobs}`;
      const heard = peer.on('job/line', (line) => {
        if (line.job === job) onLine?.(line);
      });
      try {
        await peer.request('job/run', { job, argv: [...argv], ...(cwd !== undefined && { cwd }) }, signal);
      } finally {
        heard.dispose();
      }
    },
  };
}

/** `machines`: by id; others cannot be reached. */
export function reach(machines: Record<string, Runner>): Pick<Runners, 'open'> {
  return {
    async open(host, { onProgress } = {}) {
      onProgress?.('Connecting');
      const runner = machines[host];
      if (!runner) throw new TuneyardError('connection_failed', `${host} cannot be reached.`);
      return runner;
    },
  };
}
