/** Waiting for what Google has begun, through connections that break, and reading how it went. */
import { TuneyardError } from '@protocol/errors';
import * as l10n from '@vscode/l10n';
import type { Api, Ask } from './api';
import { cloudError, type Doing } from './errors';
import { faultOfOperation } from './faults';
import type { Operation, Started } from './messages';

export interface Waiting {
  api: Api;
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

interface InZone extends Doing {
  zone: string;
}

/** Google holds a `wait` for at most two minutes. */
const WAIT_LIMIT = 150_000;
/** Of real time: whatever clock the rest goes by, nobody waits for ever. */
const OPERATION_LIMIT = 20 * 60_000;
const PAUSE = 2_000;

/**
 * Begins an operation and resolves when it is done.
 *
 * @throws what the operation's own error means; `timed_out` where it is not done in 20 minutes
 */
export async function operate(
  { api, sleep }: Waiting,
  doing: InZone,
  begin: Ask<[Started, ...unknown[]]>,
  signal?: AbortSignal,
): Promise<void> {
  const [{ latestResponse }] = await api.call(doing, begin, { signal });
  const { project, zone } = doing;
  const name = latestResponse.name ?? '';
  const until = performance.now() + OPERATION_LIMIT;
  let operation: Operation = latestResponse;
  while (operation.status !== 'DONE') {
    if (performance.now() > until) {
      const what = l10n.t(
        'Google has not finished the operation {0} in zone {1} in 20 minutes: look again later.',
        name,
        zone,
      );
      throw new TuneyardError('timed_out', what, { data: { project, zone, operation: name } });
    }
    const request = { project, zone, operation: name };
    try {
      const limits = { signal, timeout: WAIT_LIMIT };
      [operation] = await api.call(doing, (google, options) => google.zoneOperations.wait(request, options), limits);
    } catch (error) {
      if (!(error instanceof TuneyardError && mayPass(error))) throw error;
      await sleep(PAUSE, signal);
    }
  }
  const fault = faultOfOperation(operation);
  if (fault) throw cloudError(fault, doing);
}

/** The operation goes on, whether or not anybody hears of it. */
function mayPass({ code, data }: TuneyardError): boolean {
  return code === 'timed_out' || data.reason === 'unreachable' || data.reason === 'rate' || data.passing === true;
}
