/** `tuneyard dataset --stdio`: a dataset that is looked at, in a process of its own. */
import type { DatasetClientContract, DatasetContract } from '@protocol/dataset';
import { Peer } from '@protocol/rpc';
import * as l10n from '@vscode/l10n';
import { createMessageConnection, StreamMessageReader, StreamMessageWriter } from 'vscode-jsonrpc/node';
import type { Host } from '../hosts/host';
import { within } from '../hosts/limits';
import { readHello } from './serveProcess';

const START_MS = 30_000;

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
    await within(readHello(process, errors), {
      signals: [],
      timeoutMs: START_MS,
      timeout: () => l10n.t('The runner on {0} did not start within {1} seconds.', host.label, START_MS / 1000),
    });
  } catch (error) {
    process.kill();
    throw error;
  }
  const peer = new Peer<DatasetClientContract, DatasetContract>(
    createMessageConnection(new StreamMessageReader(process.stdout), new StreamMessageWriter(process.stdin)),
  );
  const closed = new Promise<void>((resolve) => {
    peer.onClose(resolve);
    process.exit.then(
      () => resolve(),
      () => resolve(),
    );
  });
  // A process that ended without closing its streams answers nobody.
  void closed.then(() => peer.dispose());
  return {
    peer,
    closed,
    dispose() {
      peer.dispose();
      process.stdin.end();
      process.kill();
    },
  };
}
