import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { findOnHub, searchHub } from '@host/recipes/hubSearch';
import { afterEach, describe, expect, it } from 'vitest';

const servers: { close(): void }[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

async function hub(answer: (url: URL, response: ServerResponse) => void): Promise<string> {
  const server = createServer((request, response) => answer(new URL(request.url!, 'http://hub'), response));
  servers.push({
    close() {
      server.close();
      server.closeAllConnections();
    },
  });
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const json = (response: ServerResponse, value: unknown) =>
  response.setHeader('content-type', 'application/json').end(JSON.stringify(value));

describe('searching the hub', () => {
  it('asks for models that can be trained, and shows the most loaded first', async () => {
    const asked: URL[] = [];
    const endpoint = await hub((url, response) => {
      asked.push(url);
      const isNeo = url.searchParams.getAll('filter').includes('gpt_neo');
      json(
        response,
        isNeo
          ? [{ id: 'a/neo', downloads: 50, safetensors: { total: 125_000_000 }, gated: false }]
          : [
              { id: 'b/gpt2', downloads: 100, gated: 'auto' },
              { id: 'c/rare', downloads: 1, gated: false },
            ],
      );
    });
    expect(await searchHub(`${endpoint}/`, ' tiny ')).toEqual([
      { name: 'b/gpt2', downloads: 100, gated: true },
      { name: 'a/neo', downloads: 50, gated: false, parameters: 125_000_000 },
      { name: 'c/rare', downloads: 1, gated: false },
    ]);
    expect(asked.map(({ pathname }) => pathname)).toEqual(['/api/models', '/api/models']);
    for (const { searchParams } of asked) {
      expect(searchParams.get('search')).toBe('tiny');
      expect(searchParams.getAll('filter')).toContain('safetensors');
    }
  });

  it('says what is wrong when the hub is out of reach, answers badly or with nonsense', async () => {
    await expect(searchHub('http://127.0.0.1:9', 'x')).rejects.toMatchObject({ code: 'hub_failed' });
    const failing = await hub((_, response) => response.writeHead(503).end());
    await expect(searchHub(failing, 'x')).rejects.toThrow(/status 503/);
    const nonsense = await hub((_, response) => response.end('<html>'));
    await expect(searchHub(nonsense, 'x')).rejects.toThrow(/no JSON/);
    await expect(searchHub('hub.example.org', 'x')).rejects.toThrow(/tuneyard.hubEndpoint/);
  });

  it('passes over entries that are no models', async () => {
    const endpoint = await hub((_, response) => json(response, [null, 3, {}, { id: 'a/b' }]));
    expect(await searchHub(endpoint, '')).toEqual([{ name: 'a/b', downloads: 0, gated: false }]);
  });

  it('ends at once when somebody types on, though the hub never answers', async () => {
    const typed = new AbortController();
    const endpoint = await hub(() => typed.abort());
    await expect(searchHub(endpoint, 'x', typed.signal)).rejects.toMatchObject({ code: 'cancelled' });
  });

  it('finds the size of one model, and does without where there is none', async () => {
    const endpoint = await hub((url, response) =>
      url.pathname === '/api/models/a/b'
        ? json(response, { id: 'a/b', safetensors: { total: 7 } })
        : response.writeHead(404).end(),
    );
    expect(await findOnHub(endpoint, 'a/b')).toMatchObject({ parameters: 7 });
    expect(await findOnHub(endpoint, 'a/c')).toBeUndefined();
  });
});
