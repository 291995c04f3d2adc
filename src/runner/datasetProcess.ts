/** `tuneyard dataset --stdio`: a dataset that is looked at, in a process of its own. */
import type { DatasetClientContract, DatasetContract } from '@protocol/dataset';
import type { Peer } from '@protocol/rpc';
import type { Host } from '../hosts/host';
import { greeted, hangUp, speakWith } from './serveProcess';

export interface DatasetProcess {
  readonly peer: Peer<DatasetClientContract, DatasetContract>;
  /** Resolves when it is over, however. */
  readonly closed: Promise<void>;
  dispose(): void;
}

/** @throws TuneyardError `remote_failed` where it does not start; `timed_out`; what `Host.spawn` throws */
export async function startDataset(
  host: Host,
  { node, program, env }: { node: string; program: string; env?: Record<string, string> },
): Promise<DatasetProcess> {
  const process = await host.spawn([node, program, 'dataset', '--stdio'], env ? { env } : {});
  const errors: string[] = [];
  process.stderr.setEncoding('utf8').on('data', (text: string) => errors.push(text));
  try {
    await greeted(host, process, errors);
  } catch (error) {
    process.kill();
    throw error;
  }
  const { peer, closed } = speakWith<DatasetClientContract, DatasetContract>(process);
  return { peer, closed, dispose: () => hangUp(peer, process) };
}
