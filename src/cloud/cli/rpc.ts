/** `tuneyard vm rpc --stdio`: the service for the extension, for as long as its standard input is open. */
import type { CloudClientContract, CloudContract } from '@protocol/cloud';
import { Peer } from '@protocol/rpc';
import * as l10n from '@vscode/l10n';
import { createMessageConnection, StreamMessageReader, StreamMessageWriter } from 'vscode-jsonrpc/node';
import { openCloud } from './openCloud';

export async function serveRpc(): Promise<void> {
  // The window's language: what goes wrong here is read there.
  if (process.env.TUNEYARD_L10N) l10n.config({ fsPath: process.env.TUNEYARD_L10N });
  // A window that closes takes its ends of the pipes along: what was begun goes on without them.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});
  // Only the protocol may reach standard output.
  const { service } = openCloud((text) => process.stderr.write(`${text}\n`));
  const reader = new StreamMessageReader(process.stdin);
  const connection = createMessageConnection(reader, new StreamMessageWriter(process.stdout));
  const peer = new Peer<CloudContract, CloudClientContract>(connection);
  peer.handle('cloud/identity', (_, signal) => service.identity(signal));
  peer.handle('cloud/offers', (query, signal) => service.offers(query, signal));
  peer.handle('vm/create', (wish, signal) => service.create(wish, { signal }));
  peer.handle('vm/list', (how, signal) => service.list(how, signal));
  peer.handle('vm/ssh', ({ vm }) => service.ssh(vm));
  peer.handle('vm/extend', ({ vm, seconds, restart }, signal) =>
    service.extend(vm, seconds, { signal, ...(restart !== undefined && { restart }) }),
  );
  peer.handle('vm/stop', ({ vm }, signal) => service.stop(vm, signal));
  peer.handle('vm/start', ({ vm }, signal) => service.start(vm, signal));
  peer.handle('vm/resumeElsewhere', (what, signal) => service.resumeElsewhere(what, signal));
  peer.handle('vm/delete', (what, signal) => service.delete(what, signal));
  peer.handle('vm/reconcile', ({ projects }, signal) => service.reconcile(projects, signal));
  peer.handle('vm/recover', (_, signal) => service.recover(signal));
  const subscriptions = [
    service.onDidProgress((progress) => void peer.notify('vm/progress', progress)),
    service.onDidChange((vms) => void peer.notify('vm/changed', { vms })),
  ];
  await new Promise<void>((resolve) => {
    connection.onClose(resolve);
    process.stdin.on('end', resolve);
    peer.listen();
  });
  for (const subscription of subscriptions) subscription.dispose();
  service.dispose();
}
