/** A server on loopback that gives the answers it is told to: Google's own, word for word, one after another. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface Asked {
  method: string;
  /** Without the query. */
  path: string;
  query: URLSearchParams;
  body: string;
  authorization: string | undefined;
}

/** `undefined`: the connection is cut. */
export type Answer = { status?: number; body: unknown } | undefined;

export interface Answers {
  endpoint: string;
  asked: Asked[];
  /** A file of credentials for the endpoint's own tokens. */
  keyFile: string;
  close(): void;
}

/** Tokens are given at /token; all else is answered by `answer`. */
export async function answers(answer: (asked: Asked) => Answer | Promise<Answer>): Promise<Answers> {
  const asked: Asked[] = [];
  const server = createServer(async (request, response) => {
    const one = await read(request);
    if (one.path !== '/token') asked.push(one);
    const given =
      one.path === '/token' ? { body: { access_token: 'ya29.secret', expires_in: 3600 } } : await answer(one);
    if (!given) return request.socket.destroy();
    response.writeHead(given.status ?? 200, { 'content-type': 'application/json' }).end(JSON.stringify(given.body));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const folder = mkdtempSync(join(tmpdir(), 'tuneyard-answers-'));
  const keyFile = join(folder, 'key.json');
  const key = { type: 'authorized_user', client_id: 'id', client_secret: 'hidden-1', refresh_token: 'hidden-2' };
  writeFileSync(keyFile, JSON.stringify({ ...key, account: 'ada@example.com', token_uri: `${endpoint}/token` }));
  const close = () => {
    server.close();
    server.closeAllConnections();
    rmSync(folder, { recursive: true, force: true });
  };
  return { endpoint, asked, keyFile, close };
}

async function read(request: IncomingMessage): Promise<Asked> {
  let body = '';
  for await (const chunk of request) body += chunk;
  const url = new URL(request.url ?? '/', 'http://127.0.0.1');
  return {
    method: request.method ?? '',
    path: url.pathname.replace('/compute/v1/projects/', ''),
    query: url.searchParams,
    body,
    authorization: request.headers.authorization,
  };
}

/** An error as Google's REST API gives it. */
export function refusal(status: number, reason: string, message: string, details: unknown[] = []): Answer {
  const errors = [{ message, domain: 'global', reason }];
  return { status, body: { error: { code: status, message, errors, ...(details.length ? { details } : {}) } } };
}
