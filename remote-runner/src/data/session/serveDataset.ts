/** `tuneyard dataset --stdio`: a dataset session for whoever is at the other end. It ends when the connection does. */
import type { Readable, Writable } from 'node:stream';
import type { DatasetClientContract, DatasetContract } from '@protocol/dataset';
import { Peer } from '@protocol/rpc';
import { SERVE_MARKER, SERVE_PROTOCOL, type ServeHello } from '@protocol/serve';
import { createMessageConnection, StreamMessageReader, StreamMessageWriter } from 'vscode-jsonrpc/node';
import { hungUp } from '../../serve/hungUp';
import { DatasetSession, type IndexProgress } from './datasetSession';

/** A person sees no more of a count that grows. */
const TELL_EVERY_MS = 100;

/** Resolves when the other end has gone. */
export async function serveDataset(input: Readable, output: Writable, version: string): Promise<void> {
  const hello: ServeHello = { version, protocol: SERVE_PROTOCOL, pid: process.pid };
  output.write(`${SERVE_MARKER} ${JSON.stringify(hello)}\n`);
  const peer = new Peer<DatasetContract, DatasetClientContract>(
    createMessageConnection(new StreamMessageReader(input), new StreamMessageWriter(output)),
  );
  let told = 0;
  const session = new DatasetSession((progress: IndexProgress) => {
    const now = performance.now();
    if (!progress.done && now - told < TELL_EVERY_MS) return;
    told = now;
    void peer.notify('dataset/indexed', progress);
  });
  const progress = () => {
    let last = 0;
    return (piece: { done: number; total: number }) => {
      const now = performance.now();
      if (piece.done < piece.total && now - last < TELL_EVERY_MS) return;
      last = now;
      void peer.notify('dataset/progress', piece);
    };
  };
  peer.handle('dataset/open', (params, signal) => session.open(params, signal));
  peer.handle('dataset/rows', ({ from, count }, signal) => session.rows(from, count, signal));
  peer.handle('dataset/sample', (which, signal) => session.sample(which, signal));
  peer.handle('dataset/report', (_, signal) => session.report(progress(), signal));
  peer.handle('dataset/fix', ({ fix, to }, signal) => session.fix(fix, to, progress(), signal));
  peer.handle('dataset/edits', ({ fix }, signal) => session.edits(fix, progress(), signal));

  const closed = hungUp(peer, input, output);
  peer.listen();
  await closed;
  await session.close();
  peer.dispose();
}
