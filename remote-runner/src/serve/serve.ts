/**
 * `tuneyard serve --stdio`: the runner as a client on the other end of a connection uses it. It lives as long as the
 * connection; runs live on. Nothing heavy happens in this process, so that it answers at once.
 */
import type { Readable, Writable } from 'node:stream';
import { Peer } from '@protocol/rpc';
import {
  type JobEnd,
  type RunnerClientContract,
  type RunnerContract,
  SERVE_MARKER,
  SERVE_PROTOCOL,
  type ServeHello,
} from '@protocol/serve';
import { createMessageConnection, StreamMessageReader, StreamMessageWriter } from 'vscode-jsonrpc/node';
import { commitData, planData } from './dataStore';
import { RunWatcher, sendEvents } from './follow';
import { hostStatus } from './hostStatus';
import { hungUp } from './hungUp';
import { runJob } from './jobs';
import { listFolder } from './listFolder';
import {
  deleteRun,
  filesOf,
  find,
  killRun,
  logOf,
  markFetched,
  recipeOf,
  resumeRun,
  startRun,
  stopRun,
  summaryOf,
} from './runControl';

/** Resolves when the other end has gone. */
export async function serve(input: Readable, output: Writable, version: string): Promise<void> {
  const hello: ServeHello = { version, protocol: SERVE_PROTOCOL, pid: process.pid };
  output.write(`${SERVE_MARKER} ${JSON.stringify(hello)}\n`);
  const peer = new Peer<RunnerContract, RunnerClientContract>(
    createMessageConnection(new StreamMessageReader(input), new StreamMessageWriter(output)),
  );
  const closing = new AbortController();
  const watcher = new RunWatcher((runs) => peer.notify('runs/changed', { runs }));
  const jobs = new Set<Promise<JobEnd>>();
  const followed = new Map<string, AbortController>();
  const unfollow = (run: string) => {
    followed.get(run)?.abort();
    followed.delete(run);
  };

  peer.handle('host/status', () => hostStatus());
  peer.handle('runs/list', () => watcher.list());
  peer.handle('runs/get', ({ run }) => summaryOf(run));
  peer.handle('runs/start', (run, signal) => startRun(run, signal));
  peer.handle('runs/resume', ({ run, set = [] }, signal) => resumeRun(run, set, signal));
  peer.handle('runs/stop', ({ run }) => stopRun(run).then(() => null));
  peer.handle('runs/kill', ({ run }) => killRun(run).then(() => null));
  peer.handle('runs/delete', async ({ run }) => {
    const freed = await deleteRun(run);
    unfollow(run);
    return freed;
  });
  peer.handle('runs/files', ({ run }) => filesOf(run));
  peer.handle('runs/recipe', ({ run }) => recipeOf(run));
  peer.handle('runs/fetched', ({ run, what }) => markFetched(run, what).then(() => null));
  peer.handle('runs/log', ({ run, lines }) => logOf(run, lines));
  peer.handle('runs/follow', async ({ run, after }) => {
    const { dir } = await find(run);
    unfollow(run);
    const stop = new AbortController();
    followed.set(run, stop);
    const send = sendEvents(dir, after, (events) => peer.notify('run/events', { run, events }), stop.signal);
    send.catch((error: unknown) => process.stderr.write(`The events of ${run} cannot be read: ${error}\n`));
    return null;
  });
  peer.handle('runs/unfollow', ({ run }) => {
    unfollow(run);
    return null;
  });
  peer.handle('job/run', (job, signal) => {
    const running = runJob(job, (line) => peer.notify('job/line', line), AbortSignal.any([signal, closing.signal]));
    jobs.add(running);
    return running.finally(() => jobs.delete(running));
  });
  peer.handle('files/list', ({ path }) => listFolder(path));
  peer.handle('data/plan', ({ files }) => planData(files));
  peer.handle('data/commit', (file) => commitData(file));

  const closed = hungUp(peer, input, output);
  peer.listen();
  await closed;
  closing.abort();
  watcher.dispose();
  for (const run of [...followed.keys()]) unfollow(run);
  peer.dispose();
  // None is left behind: one that does not end when it is asked to is ended.
  await Promise.allSettled(jobs);
}
