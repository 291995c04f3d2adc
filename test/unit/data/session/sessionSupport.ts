/** A dataset session as the extension has it, over streams. */
import { PassThrough } from 'node:stream';
import type { DatasetClientContract, DatasetContract, OpenDataset } from '@protocol/dataset';
import { datasetSchema } from '@protocol/recipe';
import { Peer } from '@protocol/rpc';
import { serveDataset } from '@runner/data/session/serveDataset';
import { createMessageConnection, StreamMessageReader, StreamMessageWriter } from 'vscode-jsonrpc/node';

export interface TestSession {
  peer: Peer<DatasetClientContract, DatasetContract>;
  /** Settles when the files are indexed. */
  indexed(): Promise<DatasetClientContract['notifications']['dataset/indexed']>;
  progress: DatasetClientContract['notifications']['dataset/progress'][];
  close(): Promise<void>;
}

export async function openSession(): Promise<TestSession> {
  const input = new PassThrough();
  const output = new PassThrough();
  const ended = serveDataset(input, output, '0.0.0');
  await new Promise((resolve) => output.once('readable', resolve));
  // The greeting.
  const hello = output.read() as Buffer;
  if (!hello.toString().startsWith('tuneyard-serve {')) throw new Error(`no greeting: ${hello.toString()}`);
  const peer = new Peer<DatasetClientContract, DatasetContract>(
    createMessageConnection(new StreamMessageReader(output), new StreamMessageWriter(input)),
  );
  let last: DatasetClientContract['notifications']['dataset/indexed'] | undefined;
  const waiting: ((last: DatasetClientContract['notifications']['dataset/indexed']) => void)[] = [];
  peer.on('dataset/indexed', (told) => {
    last = told;
    if (told.done) for (const resolve of waiting.splice(0)) resolve(told);
  });
  const progress: TestSession['progress'] = [];
  peer.on('dataset/progress', (told) => progress.push(told));
  peer.listen();
  return {
    peer,
    progress,
    indexed: async () => (last?.done ? last : new Promise((resolve) => waiting.push(resolve))),
    async close() {
      input.end();
      await ended;
      peer.dispose();
    },
  };
}

/** What `dataset/open` is asked for. */
export function opening(path: string, more: Record<string, unknown> = {}): OpenDataset {
  const { model, max_length = 512, unsaved, ...dataset } = more;
  return {
    dataset: datasetSchema.parse({ path, ...dataset }),
    max_length: max_length as number,
    seed: 42,
    ...(model === undefined ? {} : { model: model as string }),
    ...(unsaved === undefined ? {} : { unsaved: { path, text: unsaved as string } }),
  };
}
