/** `tuneyard serve --stdio` as a client has it: a real process, and a peer at its pipes. */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { Peer } from '@protocol/rpc';
import {
  type RunnerClientContract,
  type RunnerContract,
  SERVE_MARKER,
  SERVE_PROTOCOL,
  type ServeHello,
} from '@protocol/serve';
import { createMessageConnection, StreamMessageReader, StreamMessageWriter } from 'vscode-jsonrpc/node';

const PROGRAM = fileURLToPath(new URL('../../remote-runner/bin/tuneyard.mjs', import.meta.url));

export interface Served {
  peer: Peer<RunnerClientContract, RunnerContract>;
  process: ChildProcessWithoutNullStreams;
  /** Hangs up and waits until the process has gone. */
  close(): Promise<void>;
}

export async function startServe(home: string, env: NodeJS.ProcessEnv = {}): Promise<Served> {
  const child = spawn(process.execPath, [PROGRAM, 'serve', '--stdio'], {
    env: { ...process.env, TUNEYARD_HOME: home, HF_ENDPOINT: 'http://127.0.0.1:9', ...env },
  });
  const hello = JSON.parse((await firstLine(child)).slice(SERVE_MARKER.length)) as ServeHello;
  if (hello.protocol !== SERVE_PROTOCOL || hello.pid !== child.pid) throw new Error('not our process');
  const peer = new Peer<RunnerClientContract, RunnerContract>(
    createMessageConnection(new StreamMessageReader(child.stdout), new StreamMessageWriter(child.stdin)),
  );
  peer.listen();
  const gone = once(child, 'exit');
  return {
    peer,
    process: child,
    close: async () => {
      peer.dispose();
      child.stdin.end();
      await gone;
    },
  };
}

async function firstLine(child: ChildProcessWithoutNullStreams): Promise<string> {
  let text = '';
  while (!text.includes('\n')) {
    const piece: Buffer | null = child.stdout.read();
    if (piece) text += piece.toString('utf8');
    else if (child.exitCode !== null) throw new Error(`serve ended with ${child.exitCode}: ${text}`);
    else await Promise.race([once(child.stdout, 'readable'), once(child, 'exit')]);
  }
  const end = text.indexOf('\n') + 1;
  if (end < text.length) child.stdout.unshift(Buffer.from(text.slice(end)));
  return text.slice(0, end);
}
