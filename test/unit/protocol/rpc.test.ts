import { PassThrough, Writable } from 'node:stream';
import { TuneyardError } from '@protocol/errors';
import { type Contract, Peer } from '@protocol/rpc';
import { afterEach, describe, expect, it } from 'vitest';
import { createMessageConnection, StreamMessageReader, StreamMessageWriter } from 'vscode-jsonrpc/node';

type Server = {
  requests: {
    double: { params: { n: number }; result: number };
    fail: { params: Record<string, never>; result: null };
    wait: { params: Record<string, never>; result: null };
  };
  notifications: Record<never, never>;
};
type Client = { requests: Record<never, never>; notifications: { tick: { n: number } } };

const open: { dispose(): void }[] = [];
afterEach(() => {
  for (const peer of open.splice(0)) peer.dispose();
});

function pair() {
  const there = new PassThrough();
  const back = new PassThrough();
  const end = <Mine extends Contract, Theirs extends Contract>(read: PassThrough, write: PassThrough) => {
    const peer = new Peer<Mine, Theirs>(
      createMessageConnection(new StreamMessageReader(read), new StreamMessageWriter(write)),
    );
    open.push(peer);
    return peer;
  };
  const server = end<Server, Client>(there, back);
  const client = end<Client, Server>(back, there);
  let tell = () => {};
  const cancelled = new Promise<void>((resolve) => {
    tell = resolve;
  });
  server.handle('double', ({ n }) => n * 2);
  server.handle('fail', () => {
    throw new TuneyardError('dataset_empty', 'there is no sample in it; add some.', {
      place: { file: 'data.jsonl', line: 7 },
      data: { rows: 0 },
    });
  });
  server.handle('wait', async (_, signal) => {
    await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
    tell();
    return null;
  });
  server.listen();
  client.listen();
  return { server, client, cancelled, hangUp: () => there.destroy() && back.destroy() };
}

describe('a request over the wire', () => {
  it('fails as a lost connection where the other end went before that was noticed', async () => {
    const broken = new Writable({ write: (_, __, done) => done(new Error('write EPIPE')) });
    broken.on('error', () => {});
    const peer = new Peer<Client, Server>(
      createMessageConnection(new StreamMessageReader(new PassThrough()), new StreamMessageWriter(broken)),
    );
    open.push(peer);
    peer.listen();
    await expect(peer.request('double', { n: 1 })).rejects.toMatchObject({ code: 'connection_lost' });
  });

  it('brings its answer, many at once', async () => {
    const { client } = pair();
    const answers = Array.from({ length: 50 }, (_, n) => client.request('double', { n }));
    expect(await Promise.all(answers)).toEqual(Array.from({ length: 50 }, (_, n) => n * 2));
  });

  it('fails with the very error of the other end: code, sentence, place and data', async () => {
    const error = await pair()
      .client.request('fail', {})
      .catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(TuneyardError);
    expect(error).toMatchObject({
      code: 'dataset_empty',
      message: 'data.jsonl:7: there is no sample in it; add some.',
      place: { file: 'data.jsonl', line: 7 },
      data: { rows: 0 },
    });
  });

  it('settles at once when it is cancelled, and tells the other end to stop', async () => {
    const { client, cancelled } = pair();
    const controller = new AbortController();
    const answer = client.request('wait', {}, controller.signal);
    setTimeout(() => controller.abort(), 20);
    await expect(answer).rejects.toMatchObject({ code: 'cancelled' });
    await cancelled;
    await expect(client.request('double', { n: 1 }, controller.signal)).rejects.toMatchObject({ code: 'cancelled' });
  });

  it('is rejected when the wire is cut, and so is every one behind it', async () => {
    const { client, hangUp } = pair();
    const closed = new Promise<void>((resolve) => client.onClose(resolve));
    const answer = client.request('wait', {});
    setTimeout(hangUp, 20);
    await expect(answer).rejects.toMatchObject({ code: 'connection_lost' });
    await closed;
    await expect(client.request('double', { n: 1 })).rejects.toMatchObject({ code: 'connection_lost' });
  });

  it('is rejected when this end gives up the connection', async () => {
    const { client } = pair();
    const answer = client.request('wait', {});
    client.dispose();
    await expect(answer).rejects.toMatchObject({ code: 'connection_lost' });
  });
});

it('a notification reaches its listener, and none is thrown into a closed wire', async () => {
  const { server, client } = pair();
  const heard = new Promise<number>((resolve) => client.on('tick', ({ n }) => resolve(n)));
  server.notify('tick', { n: 3 });
  expect(await heard).toBe(3);
  server.dispose();
  await expect(server.notify('tick', { n: 4 })).resolves.toBeUndefined();
});
